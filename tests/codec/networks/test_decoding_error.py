"""The error of a decoded picture and its derivatives, with decoders whose derivatives are known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from panolink.codec.networks import decoding_error
from panolink.codec.networks.decoding_error import DecodingError
from panolink.codec.shapes import Image
from panolink.metrics.ssim import ssim_map
from panolink.sphere.padding import SphereConv2d

ROWS, COLS = 3, 5
WEIGHTS = torch.linspace(0.2, 1.5, ROWS * COLS).view(ROWS, COLS)


def image(height: int = 40, width: int = 72) -> Image:
    """Not whole tokens of 16×16."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def features(rows: int = ROWS, dim: int = 3) -> Tensor:
    return 80 + 100 * torch.rand((1, dim, rows, COLS), generator=torch.Generator().manual_seed(0))


def guidance(rows: int = ROWS) -> Tensor:
    return torch.zeros(1, 3, rows, COLS)


def flat_tokens(features: Tensor, _guidance: Tensor) -> Tensor:
    """Each token's three dimensions as the colour of its 16×16 pixels."""
    return features.repeat_interleave(16, -2).repeat_interleave(16, -1)


def weighted_squares(pixels: Tensor) -> Tensor:
    difference = pixels[0, :, :40, :72].clamp(0, 255) - torch.from_numpy(image()).permute(2, 0, 1)
    weights = WEIGHTS.repeat_interleave(16, 0).repeat_interleave(16, 1)[:40, :72]
    return (difference.square().mean(dim=0) * weights).sum()


def weighted_dissimilarity(pixels: Tensor) -> Tensor:
    colours = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    seen, original = pixels[0, :, :40, :72].clamp(0, 255), torch.from_numpy(image()).permute(2, 0, 1)
    alike = ssim_map(*((one * colours).sum(dim=0)[None, None] / 255 for one in (original, seen)))[0, 0]
    weights = WEIGHTS.repeat_interleave(16, 0).repeat_interleave(16, 1)[:40, :72]
    return ((1 - alike) * weights).sum()


def test_it_is_the_weighted_squared_error_of_the_pixels_that_there_are() -> None:
    error = DecodingError(image(), WEIGHTS, flat_tokens)
    for given in (features(), 3 * features()):  # pixels above 255 are decoded as 255
        expected = pytest.approx(float(weighted_squares(flat_tokens(given, guidance()))))
        assert error(given, guidance())[0] == expected and error.alone(given, guidance()) == expected


def test_a_share_of_it_is_dissimilarity_as_large_as_the_squared_error_at_first() -> None:
    squared = DecodingError(image(), WEIGHTS, flat_tokens)
    mixed = DecodingError(image(), WEIGHTS, flat_tokens, structure=0.4)
    first, later = features(), features() + 20
    assert mixed.alone(first, guidance()) == pytest.approx(squared.alone(first, guidance()))
    unlike = [weighted_dissimilarity(flat_tokens(given, guidance())) for given in (first, later)]
    of_structure = squared.alone(first, guidance()) * float(unlike[1] / unlike[0])
    expected = 0.6 * squared.alone(later, guidance()) + 0.4 * of_structure
    assert mixed.alone(later, guidance()) == pytest.approx(expected)


@pytest.mark.parametrize("structure", [0.0, 0.4])
def test_its_gradient_is_that_of_each_feature(structure: float) -> None:
    found, gradient = DecodingError(image(), WEIGHTS, flat_tokens, structure=structure)(features(), guidance())
    expected = features().requires_grad_(True)
    pixels = flat_tokens(expected, guidance())
    squared, unlike = weighted_squares(pixels), weighted_dissimilarity(pixels)
    scale = squared.detach() / unlike.detach()
    ((1 - structure) * squared + structure * scale * unlike).backward()
    torch.testing.assert_close(gradient, expected.grad)
    assert found > 0 and gradient.shape == features().shape and not gradient.requires_grad


def test_the_curvature_of_a_linear_decoder_is_found_for_each_dimension() -> None:
    gains = torch.tensor([1.0, 0.9, 1.2])

    def decode(features: Tensor, guidance: Tensor) -> Tensor:
        return flat_tokens(features * gains[:, None, None], guidance)

    error = DecodingError(image(48, 80), WEIGHTS, decode)
    _, gradient = error(features(), guidance())
    curvature = error.curvature(features(), guidance(), gradient, torch.full((ROWS, COLS), 2.0))
    expected = 2 / 3 * 16 * 16 * gains.square()[:, None, None] * WEIGHTS
    torch.testing.assert_close(curvature[0], expected, rtol=1e-3, atol=0)


def test_where_the_error_does_not_curve_upwards_there_is_no_curvature() -> None:
    error = DecodingError(image(), WEIGHTS, flat_tokens)
    beyond = 4 * features()  # all pixels are 255, whatever features do
    found, gradient = error(beyond, guidance())
    assert found > 0 and not gradient.any()
    assert not error.curvature(beyond, guidance(), gradient, torch.ones(ROWS, COLS)).any()


def test_bands_of_rows_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    convs = torch.nn.Sequential(SphereConv2d(3, 3), torch.nn.LeakyReLU(0.1), SphereConv2d(3, 3))
    rows = 14
    weights = torch.rand(rows, COLS, generator=torch.Generator().manual_seed(0)) + 0.1
    error, mixed = (
        DecodingError(image(16 * rows - 5), weights, lambda f, g: flat_tokens(convs(f) + 127, g), structure=structure)
        for structure in (0.0, 0.4)
    )
    whole, gradient = error(features(rows), guidance(rows))
    monkeypatch.setattr(decoding_error, "BAND_TOKENS", 3 * COLS)
    assert [len(band) for band, _ in error._bands()] == [3, 3, 3, 3, 2]
    by_bands, found = error(features(rows), guidance(rows))
    assert by_bands == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-2)
    assert mixed.alone(features(rows), guidance(rows)) == pytest.approx(
        whole, rel=1e-5
    )  # each band is scaled by itself
