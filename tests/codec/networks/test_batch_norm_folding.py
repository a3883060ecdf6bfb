import pytest
import torch
from torch import nn

from panolink.codec.networks.batch_norm_folding import folded
from panolink.codec.networks.decoder import GUIDANCE_PLANES
from tests.codec.networks.random_networks import SMALL, scrambled


@torch.no_grad()
@pytest.mark.parametrize("family", SMALL)
def test_it_computes_the_same_without_batch_norms(family: str):
    network = scrambled(SMALL[family])
    state = {name: value.clone() for name, value in network.state_dict().items()}
    fast = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    pixels, features, guidance = torch.rand(2, 3, 32, 64) * 255, torch.randn(2, 6, 2, 4), torch.rand(2, 3, 2, 4)
    assert guidance.shape[1] == GUIDANCE_PLANES
    torch.testing.assert_close(fast.encoder(pixels), network.encoder(pixels), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(
        fast.decoder(features, guidance), network.decoder(features, guidance), rtol=1e-4, atol=1e-2
    )
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_a_network_without_any_is_itself():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    assert folded(network) is network
