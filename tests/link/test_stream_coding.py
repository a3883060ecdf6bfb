"""A stream over the air without services: what arrives is what later pictures are predicted from."""

import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.errors import RateError
from panolink.link.receiver import Received, Receiver
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmission, Transmitter
from panolink.link.unequal_protection import Choice
from panolink.sphere.focus import Focus

PIXELS = 128 * 256


def arrive(receiver: Receiver, sent: Transmission, snr_db: float, seed: int = 0) -> Received:
    random, variance = np.random.default_rng(seed), 10 ** (-snr_db / 10)
    noise = random.normal(scale=np.sqrt(variance / 2), size=(2, len(sent.symbols)))
    symbols = (sent.symbols + noise[0] + 1j * noise[1]).astype(np.complex64)
    channel = {"csi": np.ones(1, np.complex64), "coherence_symbols": len(symbols), "noise_variance": variance}
    return receiver.receive(symbols, sent.segments, **channel)


@pytest.mark.parametrize(
    "request_",
    [
        RateRequest(bpp=0.3),
        RateRequest(budget=SymbolBudget.per_pixel(0.15, pixels=PIXELS)),
        RateRequest(budget=SymbolBudget.per_pixel(0.15, pixels=PIXELS), protection=Choice(12.0), probe=True),
    ],
    ids=["bpp", "budget", "adaptive"],
)
def test_the_second_picture_says_what_has_changed(tiny: Codec, panorama: np.ndarray, request_: RateRequest):
    stream, receiver = StreamEncoder(tiny, robust=True), Receiver(tiny)
    transmitter = Transmitter(tiny)
    for number in range(1, 5):
        sent = transmitter.transmit(panorama, request_, stream=stream)
        assert (sent.number, sent.reference) == (number, number - 1)
        if request_.budget:
            assert len(sent.symbols) <= request_.budget.symbols
        received = arrive(receiver, sent, 30)
        assert received.picture is not None and not received.lost
        stream.acknowledge(number, {*received.lost, *sent.unsent})
        assert stream.reference is not None and stream.reference.number == number


def test_what_the_air_took_is_mirrored(tiny: Codec, panorama: np.ndarray):
    stream, receiver, random = StreamEncoder(tiny, robust=True), Receiver(tiny), np.random.default_rng(0)
    transmitter, lost = Transmitter(tiny), 0
    for number in range(1, 9):
        noisy = np.clip(panorama + random.normal(0, 15, panorama.shape), 0, 255).astype(np.uint8)
        sent = transmitter.transmit(noisy, RateRequest(bpp=0.4), stream=stream)
        received = arrive(receiver, sent, 2.5 if number > 1 else 20, seed=number)
        lost += len(received.lost)
        stream.acknowledge(number, {*received.lost, *sent.unsent})
        if received.tokens is not None:
            assert stream.reference is not None
            here = stream.reference.tokens()
            assert np.array_equal(here.indices, received.tokens.indices)
            assert here.differences is not None and received.tokens.differences is not None
            assert np.array_equal(here.differences, received.tokens.differences)
    assert lost


def test_a_focus_travels_in_the_header(tiny: Codec, panorama: np.ndarray):
    stream, receiver = StreamEncoder(tiny, robust=True), Receiver(tiny)
    request = RateRequest(bpp=0.4, focus=(Focus(0.0, 0.0, 90.0),))
    for _ in range(2):
        sent = Transmitter(tiny).transmit(panorama, request, stream=stream)
        assert sent.tokens.focus == request.focus
        assert arrive(receiver, sent, 30).picture is not None
        stream.acknowledge(sent.number)


def test_a_single_picture_has_no_number(tiny: Codec, panorama: np.ndarray):
    assert Transmitter(tiny).transmit(panorama, RateRequest(bpp=0.3)).number == 0


def test_a_share_is_for_single_pictures(tiny: Codec, panorama: np.ndarray):
    with pytest.raises(RateError, match="tau is for single pictures"):
        Transmitter(tiny).transmit(panorama, RateRequest(tau=0.3), stream=StreamEncoder(tiny, robust=True))


def test_a_budget_too_small_for_anything_is_refused(tiny: Codec, panorama: np.ndarray):
    stream = StreamEncoder(tiny, robust=True)
    with pytest.raises(RateError, match="least"):
        Transmitter(tiny).transmit(panorama, RateRequest(budget=SymbolBudget(20)), stream=stream)
    assert stream.reference is None


def test_a_deadline_that_leaves_less_than_the_mean_is_kept(tiny: Codec, panorama: np.ndarray):
    stream, budget = StreamEncoder(tiny, robust=True), SymbolBudget.per_pixel(0.15, pixels=PIXELS)
    for _ in range(3):
        sent = Transmitter(tiny).transmit(panorama, RateRequest(mean_bpp=2.0, budget=budget), stream=stream)
        assert 0.5 * budget.symbols < len(sent.symbols) <= budget.symbols
        stream.acknowledge(sent.number)


def test_a_mean_that_is_too_low_is_told_in_bits_a_picture(tiny: Codec, panorama: np.ndarray):
    request = RateRequest(mean_bpp=1e-3)
    with pytest.raises(RateError, match=r"^a mean of 33 bits a picture leaves a whole one \d+: .* the least is"):
        Transmitter(tiny).transmit(panorama, request, stream=StreamEncoder(tiny, robust=True))


def test_a_mean_holds_where_the_deadline_holds_more(tiny: Codec, panorama: np.ndarray):
    """Whole pictures, for nothing is acknowledged, take more than a mean of this: refused as without a deadline."""
    stream, most, mean = StreamEncoder(tiny, robust=True), SymbolBudget.per_pixel(0.3, pixels=PIXELS), 0.003
    sent = 0.0
    with pytest.raises(RateError, match="a mean of 98 bits a picture leaves a whole one"):
        for number in range(1, 20):
            sent += Transmitter(tiny).transmit(panorama, RateRequest(mean_bpp=mean, budget=most), stream=stream).bpp
            assert sent <= (number + 8) * mean
    with pytest.raises(RateError, match="usual protection"):
        RateRequest(mean_bpp=0.05, budget=most, protection=Choice(20.0))
