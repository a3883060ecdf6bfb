import torch

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.training.muon import ConvolutionMuon, convolution_kernels, orthogonalise
from tests.codec.networks.random_networks import SMALL


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


def test_inner_kernels_are_all_but_each_networks_ends():
    model = Autoencoder(SMALL["paper"])
    kernels = {name for name, p in model.named_parameters() if p.ndim == 4 and p.shape[-1] == 3}
    ends = {"encoder.body.0.weight", "encoder.body.15.weight", "decoder.body.0.weight", "decoder.body.22.weight"}
    for inner_only, wanted in ((False, kernels), (True, kernels - ends)):
        found = {id(p) for p in convolution_kernels(model, inner_only=inner_only)}
        assert {name for name, p in model.named_parameters() if id(p) in found} == wanted
    assert ends < kernels
