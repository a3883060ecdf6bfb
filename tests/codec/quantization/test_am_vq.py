from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.codec.quantization.am_vq import Ranking
from panolink.codec.rate_control.controller import Budget
from panolink.errors import RateError
from panolink.images import load_panorama


@pytest.fixture(scope="module")
def base() -> Codec:
    return Codec.load("base", device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("bpp", [0.04, 0.05, 0.1, 0.2, 0.4])
def test_budget_is_met_within_two_percent_from_below(base: Codec, samples, bpp: float):
    for path in samples:
        packet = base.encode(load_panorama(path), bpp=bpp)
        assert 0.98 * bpp <= len(packet.to_bytes()) * 8 / (1024 * 512) <= bpp, path.name


@pytest.mark.slow
def test_budgets_of_larger_pictures_are_met_from_below(base: Codec, samples):
    """The range coder's own losses grow with the number of symbols."""
    image = np.tile(load_panorama(samples[0]), (2, 2, 1))
    for robust in (False, True):
        packet = base.encode(image, bpp=0.5, robust=robust)
        assert 0.98 * 0.5 <= len(packet.to_bytes()) * 8 / (2048 * 1024) <= 0.5


@pytest.mark.slow
def test_more_bits_never_look_worse(base: Codec, samples):
    image = load_panorama(samples[0])[::2, ::2].copy()
    error = []
    for bpp in (0.05, 0.1, 0.2, 0.4):
        decoded = base.decode(base.encode(image, bpp=bpp)).astype(float)
        error.append(((decoded - image) ** 2).mean())
    assert error == sorted(error, reverse=True)


@pytest.mark.parametrize("robust", [True, False])
@pytest.mark.parametrize("rate", [{"bpp": 0.3}, {"bpp": 2.0}, {"tau": 0.5}, {"step": 4}])
def test_what_was_predicted_is_what_packing_would_predict(
    tiny: Codec, panorama: np.ndarray, robust: bool, rate: dict[str, Any]
):
    (features,) = tiny.extract([panorama])
    tokens = tiny.quantize(features, size=panorama.shape[:2], robust=robust, **rate)
    assert tokens.context and tokens.kept.any()
    assert tiny.pack(tokens).to_bytes() == tiny.pack(replace(tokens, predicted=None)).to_bytes()
    assert replace(tokens, symbols=tokens.symbols.copy()).context is None, "of other symbols nothing is known"


def test_below_the_base_layer(base: Codec, samples):
    image = load_panorama(samples[0])
    with pytest.raises(RateError, match=r"bpp 0.001 is below what the base layer costs here; the least is 0.0\d+"):
        base.encode(image, bpp=0.001)


def test_the_least_that_the_error_names_works(base: Codec, samples):
    image = load_panorama(samples[1])
    with pytest.raises(RateError) as caught:
        base.encode(image, bpp=0.001)
    least = float(str(caught.value).split()[-1])
    assert base.encode(image, bpp=least).bpp <= least


def test_more_than_everything_sends_everything(tiny: Codec, panorama: np.ndarray):
    packet = tiny.encode(panorama, bpp=50)
    tokens = tiny.unpack(packet)
    assert tokens.kept.all()
    assert packet.bpp < 50


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("ranking", list(Ranking))
def test_tau_is_the_share_kept(tiny: Codec, panorama: np.ndarray, tau: float, ranking: Ranking):
    (features,) = tiny.extract([panorama])
    tokens = tiny.quantize(features, size=(128, 256), tau=tau, ranking=ranking)
    assert tokens.kept.sum() == round(tau * tokens.kept.size)
    assert tokens.activation is not None and 0 <= tokens.activation.min() <= tokens.activation.max() <= 1


def test_codes_that_are_known_are_not_searched_for(tiny: Codec, panorama: np.ndarray):
    (features,) = tiny.extract([panorama])
    nearest = tiny.quantizer.controller(features, size=(128, 256)).base
    shifted = np.roll(nearest.indices, 1, axis=0)
    given = tiny.quantizer.controller(features, size=(128, 256), indices=shifted).base
    assert np.array_equal(given.indices, shifted) and not np.array_equal(nearest.indices, shifted)
    assert given.index_bytes == tuple(map(len, tiny.quantizer.coder.encode_indices(shifted, 1)))


def test_kept_tokens_are_the_worst_by_the_map(tiny: Codec, panorama: np.ndarray):
    (features,) = tiny.extract([panorama])
    tokens = tiny.quantize(features, size=(128, 256), tau=0.25, ranking="error")
    assert tokens.activation is not None
    assert tokens.activation[tokens.kept].min() >= tokens.activation[~tokens.kept].max()


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"bpp": 0.1, "tau": 0.1}, "bpp or tau, not both"),
        ({"bpp": 0.0}, "bpp is 0.0; it must be a positive number"),
        ({"bpp": float("nan")}, "bpp is nan"),
        ({"tau": 1.5}, "tau is 1.5; the share of tokens kept must be from 0 to 1"),
        ({"step": 99}, "step is 99; it must be from -8 to 28"),
    ],
)
def test_budgets_that_make_no_sense(budget: dict, message: str):
    with pytest.raises(RateError, match=message):
        Budget(**budget)
