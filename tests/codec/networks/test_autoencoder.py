import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.networks.autoencoder import PROFILES, Autoencoder, Profile
from panolink.codec.networks.decoder import guidance_planes
from panolink.codec.quantization.vector_quantizer import nearest_code
from panolink.errors import ModelError
from panolink.sphere.padding import pad_sphere

SMALL = {
    "base": Profile("small", "base", 6, 16, 16, (4, 4, 4), (1, 1, 1), (4, 4, 4), (1, 1, 1)),
    "paper": Profile("small", "paper", 6, 16, 16, (4, 4, 4, 4)),
}


def scrambled(profile: Profile) -> Autoencoder:
    """Random weights everywhere, also where training starts from zero."""
    torch.manual_seed(1)
    network = Autoencoder(profile).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.parametrize("family", SMALL)
def test_shapes(family: str):
    network = scrambled(SMALL[family])
    features = network.encoder(torch.rand(2, 3, 32, 64) * 255)
    assert features.shape == (2, 6, 2, 4)
    guidance = guidance_planes(*[torch.zeros(2, 2, 4)] * 3)
    assert network.decoder(features, guidance).shape == (2, 3, 32, 64)


@pytest.mark.parametrize("family", SMALL)
def test_a_panorama_has_no_left_edge(family: str):
    """Rolling the input by whole tokens rolls features and pictures with it: no seam at ±180°."""
    network = scrambled(SMALL[family])
    pixels = torch.rand(1, 3, 48, 128) * 255
    with torch.no_grad():
        features = network.encoder(pixels)
        rolled = network.encoder(pixels.roll(32, dims=-1))
        torch.testing.assert_close(rolled, features.roll(2, dims=-1), rtol=1e-4, atol=1e-4)
        guidance = guidance_planes(torch.rand(1, 3, 8) > 0.5, torch.full((1, 3, 8), 4), torch.rand(1, 3, 8) > 0.5)
        picture = network.decoder(features, guidance)
        turned = network.decoder(features.roll(3, dims=-1), guidance.roll(3, dims=-1))
    torch.testing.assert_close(turned, picture.roll(48, dims=-1), rtol=1e-3, atol=1e-2)


def test_padding_wraps_columns_and_repeats_rows():
    grid = torch.arange(12.0).view(1, 1, 3, 4)
    padded = pad_sphere(grid, 1)[0, 0]
    assert padded[1].tolist() == [3, 0, 1, 2, 3, 0]
    assert padded[0].tolist() == padded[1].tolist()
    assert padded[-1].tolist() == [11, 8, 9, 10, 11, 8]
    assert pad_sphere(grid, 1, wrap=False)[0, 0, 1].tolist() == [0, 0, 1, 2, 3, 3]


def test_nearest_code_is_the_nearest():
    torch.manual_seed(0)
    features, codebook = torch.randn(2, 5, 3, 4), torch.randn(7, 5)
    distance = (features.permute(0, 2, 3, 1)[..., None, :] - codebook).square().sum(-1)
    assert torch.equal(nearest_code(features, codebook), distance.argmin(-1))


def test_unknown_family():
    with pytest.raises(ModelError, match=r"'cubist'.*known: base, paper"):
        Autoencoder(Profile("x", "cubist", 4))


def test_profiles_fit_into_sixteen_mebibytes():
    for profile in PROFILES.values():
        values = sum(value.numel() for value in Autoencoder(profile).state_dict().values())
        assert 2 * values < 16 * 2**20


def test_codec_has_no_seam_either(tiny: Codec, panorama: np.ndarray):
    (features,) = tiny.extract([panorama])
    (turned,) = tiny.extract([np.roll(panorama, 64, axis=1)])
    torch.testing.assert_close(turned, features.roll(4, dims=-1), rtol=1e-3, atol=1e-2)
