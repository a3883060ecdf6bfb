"""The transmitter without services: everything that is asked for, and nothing over its budget."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.errors import RateError, SignalError
from panolink.link.receiver import Receiver
from panolink.link.segments import GAIN_CORRECTIONS
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmission, Transmitter
from panolink.link.unequal_protection import Choice, Fixed
from panolink.metrics.viewport import vpsnr
from panolink.phy.analog import AnalogFormat
from panolink.phy.mcs import SegmentFormat

PIXELS = 128 * 256


def received(codec: Codec, sent: Transmission, pilot_spacing: int = 0) -> np.ndarray:
    """The picture after a channel without fading at 40 dB."""
    random = np.random.default_rng(1)
    noise = random.normal(scale=np.sqrt(1e-4 / 2), size=(2, len(sent.symbols)))
    symbols = (sent.symbols + noise[0] + 1j * noise[1]).astype(np.complex64)
    picture = (
        Receiver(codec)
        .receive(
            symbols,
            sent.segments,
            csi=np.ones(1, np.complex64),
            coherence_symbols=len(symbols),
            noise_variance=1e-4,
            pilot_spacing=pilot_spacing,
        )
        .picture
    )
    assert picture is not None
    return picture


def test_a_rate_counts_every_bit(tiny: Codec, panorama: np.ndarray) -> None:
    sent = Transmitter(tiny).transmit(panorama, RateRequest(bpp=0.15))
    assert 0.12 < sent.bpp <= 0.15
    assert sum(sent.bits.values()) == round(sent.bpp * PIXELS)
    assert len(sent.symbols) == sum(fmt.symbols for fmt in sent.formats)
    assert [fmt.payload_bytes for fmt in sent.formats] == [len(payload) for payload in sent.payloads]
    assert np.mean(np.abs(sent.symbols) ** 2) == pytest.approx(1, abs=0.05)
    picture = received(tiny, sent)
    assert np.array_equal(picture, tiny.reconstruct([sent.tokens])[0])


@pytest.mark.parametrize("pilot_spacing", [0, 16])
@pytest.mark.parametrize("protection", [None, Choice(12.0)])
def test_a_budget_counts_every_symbol(
    tiny: Codec, panorama: np.ndarray, protection: Choice | None, pilot_spacing: int
) -> None:
    budget = SymbolBudget.per_pixel(0.08, pixels=PIXELS)
    request = RateRequest(
        budget=budget, pilot_spacing=pilot_spacing, **({"protection": protection} if protection else {})
    )
    sent = Transmitter(tiny).transmit(panorama, request)
    assert 0.7 * budget.symbols < len(sent.symbols) <= budget.symbols
    assert sent.symbols_per_pixel == len(sent.symbols) / PIXELS
    assert vpsnr(panorama, received(tiny, sent, pilot_spacing)) > 12


def test_a_part_of_the_budget_may_be_kept_back(tiny: Codec, panorama: np.ndarray) -> None:
    budget = SymbolBudget.per_pixel(0.3, pixels=PIXELS)
    sent = Transmitter(tiny).transmit(panorama, RateRequest(budget=budget, retransmission_reserve=0.2))
    assert len(sent.symbols) <= 0.8 * budget.symbols
    least = SymbolBudget(len(Transmitter(tiny).transmit(panorama, RateRequest(tau=0.0)).symbols))
    all_of_it = Transmitter(tiny).transmit(panorama, RateRequest(budget=least, retransmission_reserve=0.5))
    assert not all_of_it.unsent and len(all_of_it.symbols) > 0.5 * least.symbols, "a picture comes before rounds"


def test_analog_features_follow_their_gain_corrections(tiny: Codec, panorama: np.ndarray) -> None:
    budget = SymbolBudget.per_pixel(0.5, pixels=PIXELS)
    sent = Transmitter(tiny).transmit(panorama, RateRequest(budget=budget, analog=True))
    layers = [segment.layer for segment in sent.segments]
    assert layers.count(GAIN_CORRECTIONS) == 1
    after = sent.segments[layers.index(GAIN_CORRECTIONS) + 1 :]
    assert after and all(segment.layer == "features" for segment in after)
    assert any(isinstance(segment.format, AnalogFormat) for segment in after)
    assert all(segment.format is None or isinstance(segment.format, AnalogFormat) for segment in after)
    assert all(isinstance(fmt, SegmentFormat) for fmt in sent.formats)
    assert len(sent.symbols) <= budget.symbols
    coded = Transmitter(tiny).transmit(panorama, RateRequest(tau=0.0))
    assert vpsnr(panorama, received(tiny, sent)) > vpsnr(panorama, received(tiny, coded)) + 1


def test_stages_are_measured_where_somebody_asks(tiny: Codec, panorama: np.ndarray) -> None:
    from contextlib import contextmanager

    seen = []

    @contextmanager
    def stage(name: str):
        seen.append(name)
        yield

    (features,) = tiny.extract([panorama])
    sent = Transmitter(tiny).transmit(panorama, RateRequest(tau=0.2), features=features, stage=stage)
    assert "encode" not in seen and {"quantize", "entropy_code", "fec_encode"} <= set(seen)
    again = Transmitter(tiny).transmit(panorama, RateRequest(tau=0.2))
    assert np.array_equal(sent.symbols, again.symbols)


@pytest.mark.parametrize(
    "rate",
    [{}, {"bpp": 0.5}, {"tau": 0.5}, {"tau": 0.5, "budget": SymbolBudget(4000)}, {"mean_bpp": 0.5, "analog": True}],
)
def test_a_choice_is_for_what_a_budget_holds(rate: dict) -> None:
    with pytest.raises(RateError, match="a rate goes with the usual protection: a Choice is for what a budget"):
        RateRequest(protection=Choice(25.0), **rate)


def test_a_choice_is_for_amplitudes_too_at_any_rate(tiny: Codec, panorama: np.ndarray) -> None:
    request = RateRequest(tau=0.5, budget=SymbolBudget(100_000), analog=True, protection=Choice(12.0))
    assert Transmitter(tiny).transmit(panorama, request).protection == Choice(12.0)
    without_values = Transmitter(tiny).transmit(panorama, replace(request, tau=0.0, budget=None))
    assert isinstance(without_values.protection, Fixed), "what is coded at a rate is sent as usual, and says so"


@pytest.mark.parametrize("rate", [{"bpp": 3.0}, {"bpp": 3.0, "budget": SymbolBudget(100_000)}])
def test_a_stream_sends_no_amplitudes_whatever_they_were_to_go_by(
    tiny: Codec, panorama: np.ndarray, rate: dict[str, Any]
) -> None:
    request = RateRequest(**rate, analog=True, protection=Choice(12.0))
    sent = Transmitter(tiny).transmit(panorama, request, stream=StreamEncoder(tiny, robust=True))
    assert isinstance(sent.protection, Fixed) and not any(
        isinstance(segment.format, AnalogFormat) for segment in sent.segments
    )


@pytest.mark.parametrize("budget", [None, SymbolBudget(4000)])
def test_pilots_and_reserve_have_a_range(budget: SymbolBudget | None) -> None:
    for spacing in (1, -3):
        with pytest.raises(SignalError, match=f"pilot_spacing is {spacing}; allowed: 0, or 2"):
            RateRequest(budget=budget, pilot_spacing=spacing)
    for reserve in (-0.1, 0.6, float("nan")):
        with pytest.raises(RateError, match=f"retransmission_reserve is {reserve}; allowed: 0 … 0.5"):
            RateRequest(budget=budget, retransmission_reserve=reserve)


def test_what_cannot_be_is_refused(tiny: Codec, panorama: np.ndarray) -> None:
    with pytest.raises(RateError, match="give bpp or tau, not both"):
        RateRequest(bpp=0.1, tau=0.1)
    with pytest.raises(RateError, match="least"):
        Transmitter(tiny).transmit(panorama, RateRequest(budget=SymbolBudget(10)))
    with pytest.raises(RateError, match=r"at this tau the panorama takes \d+ symbols, and its deadline leaves 10"):
        Transmitter(tiny).transmit(panorama, RateRequest(tau=0.5, budget=SymbolBudget(10)))
