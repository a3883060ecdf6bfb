import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.codec.ladder import LADDER, Rung, quantize, serving
from panolink.codec.model import shipped_models
from panolink.errors import RateError


@pytest.fixture(scope="module")
def base() -> Codec:
    return Codec.load("base", device="cpu")


def test_the_ladder_is_of_shipped_models_and_falls():
    assert {rung.model for rung in LADDER} <= set(shipped_models()) - {"paper"}
    rates = [rung.from_bpp for rung in LADDER]
    assert rates == sorted(rates, reverse=True)


def test_models_that_serve_a_rate():
    ladder = (Rung("fine", 0.3), Rung("base", 0.05), Rung("tiny"))
    assert serving(0.6, ladder) == ["fine", "base", "tiny"]
    assert serving(0.1, ladder) == serving(None, ladder) == ["base", "tiny"]
    assert serving(0.01, ladder) == ["tiny"]
    assert serving(0.01, ladder[:2]) == ["base"]


def test_the_next_coarser_one_where_the_base_layer_costs_more(base: Codec, tiny: Codec, panorama: np.ndarray):
    """With 32 codes an index costs half of what it costs with 1024."""
    with pytest.raises(RateError) as caught:
        quantize(panorama, [base], bpp=0.001)
    bpp = float(str(caught.value).split()[-1]) - 0.0002
    codec, tokens = quantize(panorama, [base, tiny], bpp=bpp)
    assert codec is tiny
    assert tiny.pack(tokens).bpp <= bpp
    assert quantize(panorama, [base, tiny], bpp=0.1)[0] is base
    assert quantize(panorama, [base, tiny])[0] is base


def test_below_the_coarsest_the_least_is_named(base: Codec, tiny: Codec, panorama: np.ndarray):
    with pytest.raises(RateError, match="the least is") as caught:
        quantize(panorama, [base, tiny], bpp=0.0001)
    least = float(str(caught.value).split()[-1])
    codec, tokens = quantize(panorama, [base, tiny], bpp=least)
    assert codec is tiny and tiny.pack(tokens).bpp <= least
