import torch

from panolink.training.muon import ConvolutionMuon, orthogonalise


def test_orthogonalise_sets_singular_values_to_about_one():
    torch.manual_seed(0)
    for shape in ((8, 20), (20, 8)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(*shape)))
        assert values.min() > 0.5 and values.max() < 1.4


def test_muon_keeps_kernels_from_growing():
    """Its steps are as long however small the gradient is: without decay, kernels that matter little grow for ever."""
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.zeros(8, 8, 3, 3))
    optimizer, sizes = ConvolutionMuon([kernel], lr=0.05, weight_decay=0.3), []
    for _ in range(600):
        kernel.grad = 1e-3 * torch.randn_like(kernel)
        optimizer.step()
        sizes.append(float(kernel.detach().norm()))
    assert sizes[-1] < 1.2 * max(sizes[:300])
