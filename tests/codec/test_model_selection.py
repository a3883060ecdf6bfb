import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.codec.model import shipped_models
from panolink.codec.model_selection import MODELS_BY_RATE, RateModel, quantize, serving
from panolink.errors import RateError


@pytest.fixture(scope="module")
def base() -> Codec:
    return Codec.load("base", device="cpu")


def test_models_by_rate_are_shipped_and_fall():
    assert {entry.model for entry in MODELS_BY_RATE} <= set(shipped_models()) - {"paper"}
    rates = [entry.from_bpp for entry in MODELS_BY_RATE]
    assert rates == sorted(rates, reverse=True)


def test_models_that_serve_a_rate():
    models = (RateModel("fine", 0.3), RateModel("base", 0.05), RateModel("tiny"))
    assert serving(0.6, models) == ["fine", "base", "tiny"]
    assert serving(0.1, models) == serving(None, models) == ["base", "tiny"]
    assert serving(0.01, models) == ["tiny"]
    assert serving(0.01, models[:2]) == ["base"]


@pytest.fixture
def patchwork(panorama: np.ndarray) -> np.ndarray:
    """Squares of any colour, one a token where sides are coded at a quarter. No neighbour tells of a token here, so
    that one of 1024 codes costs more than one of 32."""
    height, width, _ = panorama.shape
    colours = np.random.default_rng(0).integers(0, 256, (height // 64, width // 64, 3), dtype=np.uint8)
    return colours.repeat(64, axis=0).repeat(64, axis=1)


def test_the_next_coarser_one_where_the_base_layer_costs_more(
    base: Codec, tiny: Codec, patchwork: np.ndarray, panorama: np.ndarray
):
    with pytest.raises(RateError) as caught:
        quantize(patchwork, [base], bpp=0.001)
    bpp = float(str(caught.value).split()[-1]) - 0.0002
    codec, tokens = quantize(patchwork, [base, tiny], bpp=bpp)
    assert codec is tiny
    assert tiny.pack(tokens).bpp <= bpp
    assert quantize(panorama, [base, tiny], bpp=0.1)[0] is base
    assert quantize(panorama, [base, tiny])[0] is base


def test_below_the_coarsest_the_least_is_named(base: Codec, tiny: Codec, patchwork: np.ndarray):
    with pytest.raises(RateError, match="the least is") as caught:
        quantize(patchwork, [base, tiny], bpp=0.0001)
    least = float(str(caught.value).split()[-1])
    codec, tokens = quantize(patchwork, [base, tiny], bpp=least)
    assert codec is tiny and tiny.pack(tokens).bpp <= least
