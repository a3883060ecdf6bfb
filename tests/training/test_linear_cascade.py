import pytest
import torch
from torch import Tensor

from panolink.codec.networks.blocks import PIXEL_STEP, ResidualBlock
from panolink.codec.networks.decoder import GUIDANCE_PLANES, BaseDecoder, PaperDecoder
from panolink.codec.networks.encoder import BaseEncoder, PaperEncoder
from panolink.training.linear_cascade import start_as_linear_cascade

NO_GUIDANCE = torch.zeros(1, GUIDANCE_PLANES, 1, 1)


@pytest.fixture
def crops() -> Tensor:
    """Noise that is smooth in part, as pictures are."""
    torch.manual_seed(0)
    coarse = torch.nn.functional.interpolate(torch.rand(6, 3, 4, 4), size=(16, 16), mode="bilinear")
    return 255 * (0.8 * coarse + 0.2 * torch.rand(6, 3, 16, 16))


def started(crops: Tensor, *, dim: int, channels: tuple[int, ...]) -> tuple[PaperEncoder, PaperDecoder]:
    torch.manual_seed(1)
    encoder, decoder = PaperEncoder(dim=dim, channels=channels), PaperDecoder(dim=dim, channels=channels)
    start_as_linear_cascade(encoder, decoder, crops)
    return encoder.eval(), decoder.eval()


@torch.no_grad()
@pytest.mark.parametrize(("dim", "channels"), [(12, (16,)), (48, (12, 48))], ids=["one octave", "two"])
def test_networks_that_are_wide_enough_begin_as_each_others_inverse(crops: Tensor, dim: int, channels: tuple[int, ...]):
    encoder, decoder = started(crops, dim=dim, channels=channels)
    torch.testing.assert_close(decoder(encoder(crops), NO_GUIDANCE), crops, rtol=0, atol=0.02)


@torch.no_grad()
def test_features_begin_as_an_orthonormal_transform_in_steps(crops: Tensor):
    encoder, _ = started(crops, dim=48, channels=(16, 48))
    a, b, c = (encoder(x) for x in (crops[:1], crops[1:2], (crops[:1] + crops[1:2]) / 2))
    torch.testing.assert_close(c, (a + b) / 2, rtol=1e-3, atol=1e-3)  # linear: no ReLU bends anything
    energy = ((crops - 127.5) / PIXEL_STEP).square().sum()
    torch.testing.assert_close(encoder(crops).square().sum(), energy, rtol=1e-3, atol=0)


@torch.no_grad()
def test_what_fits_is_kept_as_by_principal_components(crops: Tensor):
    """Fewer dimensions than pixels: the error is what the best linear transform of whole blocks leaves, or so."""
    encoder, decoder = started(crops, dim=6, channels=(16, 48))
    blocks = torch.nn.functional.unfold(crops - 127.5, 4, stride=4).transpose(1, 2).flatten(0, 1)
    least = torch.linalg.eigvalsh(blocks.T @ blocks)[:-6].sum() / crops.numel()
    error = (decoder(encoder(crops), NO_GUIDANCE) - crops).square().mean()
    assert least * 0.999 <= error <= least * 1.1


def test_what_is_free_to_learn_has_gradients(crops: Tensor):
    """Nothing is cut off: units that the cascade does not use have weights before them, and gradients behind them."""
    encoder, decoder = started(crops, dim=8, channels=(8, 16))
    (decoder(encoder(crops), NO_GUIDANCE) - crops).square().mean().backward()
    blocks = [module for network in (encoder, decoder) for module in network.modules()]
    blocks = [module for module in blocks if isinstance(module, ResidualBlock)]
    assert len(blocks) == 6 and all(not block.body[-1].weight.any() for block in blocks)
    for block in blocks:
        assert block.body[-1].weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    first, strided = encoder.body[0], encoder.body[4]
    assert first.weight[3:].abs().sum() > 0 and not strided.weight[:8, 3:].any()  # type: ignore[index]
    assert strided.weight.grad[:8, 3:].abs().sum() > 0  # type: ignore[union-attr, index]


@torch.no_grad()
@pytest.mark.parametrize(
    ("width", "blocks"), [(192, (2, 2, 1)), (200, (1, 1, 1)), (40, (1, 1, 1)), (192, (0, 2, 1)), (40, (0, 1, 1))]
)
def test_the_networks_of_base_begin_in_the_same_way(crops: Tensor, width: int, blocks: tuple[int, ...]):
    """Whatever number of residual blocks, and with as many units as dimensions, more or fewer."""
    torch.manual_seed(1)
    encoder = BaseEncoder(dim=192, channels=(12, 48, 192), blocks=(2, 1, 0))
    decoder = BaseDecoder(dim=192, channels=(width, 192, 48, 12), blocks=blocks)
    pixels = crops.repeat(4, 1, 1, 1)
    start_as_linear_cascade(encoder, decoder, pixels)
    guidance = torch.zeros(len(pixels), GUIDANCE_PLANES, 1, 1)
    error = (decoder.eval()(encoder.eval()(pixels), guidance) - pixels).square().mean()
    assert error < (0.01 if width >= 192 else 100.0)
