import pytest
import torch

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from tests.codec.networks.random_networks import SMALL, scrambled


@pytest.mark.parametrize("family", SMALL)
def test_a_token_is_sixteen_pixels_square(family: str):
    features = scrambled(SMALL[family]).encoder(torch.rand(2, 3, 32, 64) * 255)
    assert features.shape == (2, 6, 2, 4) and features.dtype == torch.float32


@pytest.mark.parametrize("family", SMALL)
def test_rolling_pixels_rolls_features(family: str):
    """No seam at ±180°."""
    network, pixels = scrambled(SMALL[family]), torch.rand(1, 3, 48, 128) * 255
    with torch.no_grad():
        features, rolled = network.encoder(pixels), network.encoder(pixels.roll(32, dims=-1))
    torch.testing.assert_close(rolled, features.roll(2, dims=-1), rtol=1e-4, atol=1e-4)


def test_features_are_float32_under_autocast():
    network = Autoencoder(SMALL["base"])
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert network.encoder(torch.rand(1, 3, 16, 32)).dtype == torch.float32


def test_the_factor_of_a_profile_is_what_its_encoder_does():
    for profile in PROFILES.values():
        assert Autoencoder(profile).encoder(torch.zeros(1, 3, 32, 32)).shape[-2:] == (32 // profile.factor,) * 2
