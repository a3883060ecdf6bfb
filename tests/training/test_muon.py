import pytest
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


@pytest.mark.parametrize("family", SMALL)
def test_inner_kernels_are_all_but_each_networks_ends(family: str):
    model = Autoencoder(SMALL[family])
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.shape[2:] == (3, 3)]
    ends = set()
    for network in ("encoder.body.", "decoder.body."):
        inside = [name for name, _ in named if name.startswith(network)]
        ends |= {inside[0], inside[-1]}
    assert len(ends) == 4 and len(named) > 12
    for inner_only, without in ((False, set()), (True, ends)):
        found = {id(parameter) for parameter in convolution_kernels(model, inner_only=inner_only)}
        assert found == {id(parameter) for name, parameter in named if name not in without}
