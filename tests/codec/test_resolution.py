"""Panoramas coded at reduced resolution."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec import resolution
from panolink.codec.bitstream import Header, Packet
from panolink.codec.codec import Codec
from panolink.codec.resolution import FROM_BPP, WHOLE, enlarge, fine_enough, reduce, reduced_size
from panolink.errors import BitstreamError, RateError
from panolink.images import load_panorama

REDUCED = [reduction for reduction in FROM_BPP if reduction != WHOLE]


def enlarged(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
    return enlarge(pixels, size)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("reduction", REDUCED, ids=str)
def test_what_is_smooth_comes_back(reduction: Fraction):
    """A low harmonic is within the band of every reduction; the poles' repeated rows are the only other error."""
    rows, columns = np.mgrid[0:96, 0:192]
    wave = 127.5 + 100 * np.cos(2 * np.pi * 3 * columns / 192) * np.sin(np.pi * (rows + 0.5) / 96)
    image = np.repeat(np.rint(wave)[..., None], 3, axis=2).astype(np.uint8)
    error = np.abs(enlarged(reduce(image, reduction), (96, 192)) - wave[..., None])
    assert error[12:-12].max() < 2


@pytest.mark.parametrize("reduction", REDUCED, ids=str)
def test_turning_commutes_with_resampling(reduction: Fraction, panorama: np.ndarray):
    """By a sixteenth of the circle, which is a whole number of columns before and after."""
    small = reduce(panorama, reduction)
    turned = reduce(np.roll(panorama, 16, axis=1), reduction)
    assert small.shape[1] % 16 == 0
    assert np.abs(turned.astype(int) - np.roll(small, small.shape[1] // 16, axis=1)).max() <= 1
    np.testing.assert_allclose(
        enlarged(np.roll(small, small.shape[1] // 16, axis=1), panorama.shape[:2]),
        np.roll(enlarged(small, panorama.shape[:2]), 16, axis=1),
        atol=1e-2,
    )


def test_large_pictures_are_made_smaller_at_finer_steps(
    tiny: Codec, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    assert [fine_enough(width) for width in (16, 1024, 1360, 2048, 8192)] == [11, 11, 9, 7, 7]
    rates = np.geomspace(0.02, 0.1, 8)
    before = [tiny.tokens_of(panorama, bpp=bpp) for bpp in rates]
    monkeypatch.setattr(resolution, "SMALL", panorama.shape[1] // 2)
    monkeypatch.setattr(resolution, "LARGE", panorama.shape[1])
    after = [tiny.tokens_of(panorama, bpp=bpp) for bpp in rates]
    coarse = [tokens.reduction == WHOLE and tokens.step > 8 for tokens in before]
    assert any(coarse)
    for small, large, changed in zip(before, after, coarse, strict=True):
        assert (large.reduction > small.reduction) if changed else large.reduction >= small.reduction
        assert large.reduction > WHOLE or large.step <= 7


@pytest.mark.parametrize("size", [(499, 1001), (16, 32), (17, 50)])
@pytest.mark.parametrize("reduction", REDUCED, ids=str)
def test_any_size(reduction: Fraction, size: tuple[int, int], tiny: Codec):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    height, width = reduced_size(size, reduction)
    assert reduce(image, reduction).shape == (height, width, 3)
    assert height % 16 == width % 16 == 0
    packet = Packet.from_bytes(tiny.encode(image, tau=0.5, reduction=reduction).to_bytes())
    assert packet.header.reduction == reduction
    assert tiny.decode(packet).shape == image.shape


@pytest.mark.slow
def test_smaller_pictures_for_smaller_rates(samples: list[Path]):
    codec, image = Codec.load("base", device="cpu"), load_panorama(samples[0])
    packets = {bpp: codec.encode(image, bpp=bpp) for bpp in (0.4, 0.02, 0.007)}
    assert all(0.96 * bpp < packet.bpp <= bpp for bpp, packet in packets.items())
    whole, smaller, smallest = (packet.header.reduction for packet in packets.values())
    assert WHOLE == whole < smaller < smallest


def test_rates_below_the_base_layer_of_full_resolution(samples: list[Path]):
    codec, image = Codec.load("base", device="cpu"), load_panorama(samples[0])
    packet = codec.encode(image, bpp=0.01)
    assert 0.008 < packet.bpp <= 0.01
    with pytest.raises(RateError, match=r"the least is 0\.00"):
        codec.encode(image, bpp=0.001)


def test_a_reduction_that_nobody_knows(tiny: Codec, panorama: np.ndarray):
    header = tiny.encode(panorama, tau=0).header
    with pytest.raises(BitstreamError, match=r"reduced by 2\.5"):
        Header.parse(Header(**{**vars(header), "reduction": Fraction(5, 2)}).to_bytes())


@pytest.mark.parametrize("size", [(96, 192), (64, 192), (96, 128)], ids=str)
def test_rows_of_an_enlarged_picture_are_those_of_all_of_it(size: tuple[int, int]) -> None:
    pixels = torch.rand(1, 3, 64, 128)
    whole = enlarge(pixels, size)
    parts = [enlarge(pixels, size, rows=slice(start, min(start + 25, size[0]))) for start in range(0, size[0], 25)]
    assert torch.equal(torch.cat(parts, dim=-2), whole)
