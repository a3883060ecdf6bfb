from copy import copy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.codec.codec import Codec
from panolink.codec.resolution import WHOLE
from panolink.codec.streaming.decoder import StreamDecoder
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.codec.streaming.finer_resolution import (
    GROWTH,
    PATIENCE,
    UNUSED,
    ResolutionWatch,
    resampling_error,
    squared_error,
)
from panolink.link.transmitter import RateRequest, Transmitter

HALF = Fraction(2)


@pytest.fixture(scope="module")
def base() -> Codec:
    return Codec.load("base", device="cpu")


@pytest.fixture(scope="module")
def city() -> np.ndarray:
    file = Path(__file__).parents[3] / "samples" / "city.webp"
    return np.asarray(Image.open(file).convert("RGB").resize((256, 128), Image.Resampling.LANCZOS))


def test_a_try_is_worth_its_coding_where_bits_are_left_and_not_with_every_picture():
    watch = ResolutionWatch()
    assert not watch.due(1, WHOLE, 0.0, 1.0), "nothing is finer"
    assert not watch.due(1, HALF, UNUSED * 1.01, 1.0), "updates have a use for the bits"
    assert watch.due(1, HALF, UNUSED * 0.99, 1.0)
    assert not watch.due(2, HALF, 0.0, 1.0) and not watch.due(PATIENCE, HALF, 0.0, GROWTH * 0.99)
    assert watch.due(3, HALF, 0.0, GROWTH)
    assert watch.due(4, Fraction(3, 2), 0.0, 1.0), "another resolution"
    assert watch.due(4 + PATIENCE, Fraction(3, 2), 0.0, 1.0)


def test_resampling_loses_what_is_fine_by_area():
    flat = np.full((64, 128, 3), 90, np.uint8)
    assert resampling_error(flat, HALF) == pytest.approx(0, abs=1e-6)
    stripes = np.zeros((64, 128, 3), np.uint8)
    stripes[:, ::2] = 200
    assert resampling_error(stripes, WHOLE) == 0
    assert resampling_error(stripes, HALF) == pytest.approx(100**2, rel=0.05), "the mean is left, at 100 from each"
    pole, equator = flat.copy(), flat.copy()
    pole[:8, ::2], equator[28:36, ::2] = 200, 200
    assert resampling_error(pole, HALF) < resampling_error(equator, HALF) / 3


def test_the_estimate_is_what_the_decoder_makes_of_it(base: Codec, city: np.ndarray):
    """But for what the networks lose, so it is compared where quantisation loses more."""
    (features,) = base.extract([city])
    errors = []
    for step in (12, 20):
        tokens = base.tokens_of(city, step=step, reduction=WHOLE)
        error = city.astype(float) - base.reconstruct([tokens])[0]
        latitude = np.cos(np.pi * (0.5 - (np.arange(128) + 0.5) / 128))
        measured = float((latitude * np.square(error).mean(axis=(1, 2))).sum() / latitude.sum())
        errors.append(squared_error(base, city, tokens, features) / measured)
    assert all(0.5 < ratio < 1.5 for ratio in errors)


@pytest.mark.slow
@pytest.mark.parametrize("late", [0, 1, 2, 3])
def test_a_stream_begun_with_few_bits_gets_as_sharp_as_later_ones_allow(base: Codec, city: np.ndarray, late: int):
    """And stays so, whatever was under way when it went whole."""
    encoder, decoder = StreamEncoder(base), StreamDecoder(base)
    reductions = []
    for number in range(1, 15):
        packet = encoder.encode(city, bpp=0.02 if number < 3 else 0.3)
        state = decoder.update(packet)
        encoder.acknowledge(number - late)
        reductions.append(packet.header.reduction)
    assert reductions[-5:] == [WHOLE] * 5
    single = base.decode(base.encode(city, bpp=0.3))
    assert reductions[0] > WHOLE and reductions[-1] == WHOLE
    error, of_single = (
        np.square(city.astype(float) - picture).mean() for picture in (base.reconstruct([state.tokens()])[0], single)
    )
    assert error < of_single


@pytest.mark.slow
@pytest.mark.parametrize(("name", "low"), [("bpp", 0.02), ("mean_bpp", 0.004)])
def test_so_does_one_over_a_link(base: Codec, city: np.ndarray, name: str, low: float):
    stream, transmitter = StreamEncoder(base, robust=True), Transmitter(base)
    first = None
    for number in range(1, 13):
        sent = transmitter.transmit(city, RateRequest(**{name: low if number < 3 else 0.3}), stream=stream)
        stream.acknowledge(sent.number)
        assert stream.reference
        first = first or stream.reference.reduction
    assert first > WHOLE and stream.reference and stream.reference.reduction == WHOLE


def test_bits_that_make_no_whole_picture_change_nothing(tiny: Codec, panorama: np.ndarray):
    encoder = StreamEncoder(tiny)
    encoder.encode(panorama, bpp=0.6)
    encoder.acknowledge(1)
    change = encoder.prepare(panorama)
    assert change
    controller = copy(change.controller)
    controller.base = replace(change.base, reduction=HALF)
    reduced = replace(change, controller=controller)
    update, _ = encoder.within(change, 0.6)
    assert not encoder.finer_is_due(reduced, update, panorama, used=0.0, allowed=1e-4)
