import pytest
import torch

from panolink.codec.networks.decoder import (
    GUIDANCE_PLANES,
    BaseDecoder,
    guidance_planes,
)
from panolink.codec.networks.encoder import BaseEncoder
from tests.codec.networks.random_networks import SMALL, scrambled
from tests.tiny_model import be_block_transform


@pytest.mark.parametrize("family", SMALL)
def test_a_token_becomes_sixteen_pixels_square(family: str):
    guidance = guidance_planes(*[torch.zeros(2, 2, 4)] * 3)
    assert scrambled(SMALL[family]).decoder(torch.randn(2, 6, 2, 4), guidance).shape == (2, 3, 32, 64)


@pytest.mark.parametrize("family", SMALL)
def test_rolling_features_rolls_pixels(family: str):
    """No seam at ±180°."""
    network, features = scrambled(SMALL[family]), torch.randn(1, 6, 3, 8)
    guidance = guidance_planes(torch.rand(1, 3, 8) > 0.5, torch.full((1, 3, 8), 4), torch.rand(1, 3, 8) > 0.5)
    with torch.no_grad():
        picture = network.decoder(features, guidance)
        turned = network.decoder(features.roll(3, dims=-1), guidance.roll(3, dims=-1))
    torch.testing.assert_close(turned, picture.roll(48, dims=-1), rtol=1e-3, atol=1e-2)


def test_guidance_has_kept_step_and_concealed():
    kept, concealed = torch.tensor([[[True, False]]]), torch.tensor([[[False, True]]])
    planes = guidance_planes(kept, torch.tensor([[[8, 8]]]), concealed)
    assert planes.shape == (1, GUIDANCE_PLANES, 1, 2)
    assert planes[0, :, 0].tolist() == [[1, 0], [1, 0], [0, 1]]


def test_the_base_decoder_heeds_its_guidance_and_the_papers_does_not():
    features, none = torch.randn(1, 6, 2, 4), torch.zeros(1, GUIDANCE_PLANES, 2, 4)
    with torch.no_grad():
        for family, heeds in (("base", True), ("paper", False)):
            decoder = scrambled(SMALL[family]).decoder
            assert torch.equal(decoder(features, none), decoder(features, none + 1)) != heeds


def test_the_linear_paths_of_base_undo_each_other():
    """An orthonormal basis of the whole space beside bodies that do nothing."""
    torch.manual_seed(0)
    encoder = BaseEncoder(dim=768, channels=(4, 4, 4), blocks=(0, 0, 0))
    decoder = BaseDecoder(dim=768, channels=(4, 4, 4, 4), blocks=(0, 0, 0))
    be_block_transform(encoder.eval(), decoder.eval(), torch.rand(4, 3, 256, 256) * 255)
    pixels = torch.rand(1, 3, 32, 48) * 255
    with torch.no_grad():
        restored = decoder(encoder(pixels), torch.zeros(1, GUIDANCE_PLANES, 2, 3))
    torch.testing.assert_close(restored, pixels, rtol=1e-3, atol=0.01)
