import pytest
import torch

from panolink.codec.networks.decoder import (
    GUIDANCE_PLANES,
    BaseDecoder,
    guidance_planes,
    initialize_as_block_transform,
)
from panolink.codec.networks.encoder import BaseEncoder
from tests.codec.networks.random_networks import SMALL, scrambled


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


def test_block_transforms_of_all_components_are_inverse():
    """An orthonormal basis of the whole space: encoder and decoder undo each other."""
    torch.manual_seed(0)
    sizes = {"dim": 768, "channels": (4, 4, 4), "blocks": (0, 0, 0), "leak": 0.1}
    encoder, decoder = BaseEncoder(**sizes), BaseDecoder(**sizes)
    basis = torch.linalg.qr(torch.randn(768, 768)).Q
    mean = torch.tensor([5.0, -3.0, 2.0]).repeat_interleave(256)
    initialize_as_block_transform(encoder, decoder, basis, mean, torch.ones(768))
    pixels = torch.rand(1, 3, 32, 48) * 255
    with torch.no_grad():
        restored = decoder(encoder(pixels), torch.zeros(1, GUIDANCE_PLANES, 2, 3))
    torch.testing.assert_close(restored, pixels, rtol=1e-4, atol=0.01)


def test_a_pixel_stem_that_begins_changes_nothing():
    sizes = {"dim": 4, "channels": (4, 4, 16), "blocks": (0, 0, 1), "leak": 0.1}
    without, decoder = BaseDecoder(**sizes), BaseDecoder(**sizes, pixel_stem=True)
    for parameter in without.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    decoder.load_state_dict({**decoder.state_dict(), **without.state_dict()})
    features, none = torch.randn(2, 4, 2, 4), torch.zeros(2, GUIDANCE_PLANES, 2, 4)
    with torch.no_grad():
        assert torch.equal(decoder(features, none), without(features, none))


def test_through_its_pixel_stem_the_trunk_sees_pixels_across_the_edges_of_tokens():
    decoder = scrambled(SMALL["base"]).decoder
    torch.nn.init.zeros_(decoder.stem.weight)  # what the trunk knows of features it has from pixels alone
    features, none = torch.zeros(1, 6, 1, 5), torch.zeros(1, GUIDANCE_PLANES, 1, 5)
    other = features.clone()
    other[..., 2] = 1
    with torch.no_grad():
        change = (decoder(other, none) - decoder(features, none))[0].abs().sum(dim=(0, 1))
    changed = torch.nonzero(change > 1e-6).flatten()
    assert 16 <= changed.min() < 32, "the token on the left"
    assert 48 <= changed.max() < 64, "the token on the right"
