"""The receiver without services: what was sent is decoded, what was lost is told, rounds add up."""

from typing import Any

import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.errors import LimitError, SignalError
from panolink.link.receiver import BurstDecoder, Receiver, Retransmission, unpack
from panolink.link.segments import GAIN_CORRECTIONS, Segment, SegmentCounts
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.link.unequal_protection import assign_formats
from panolink.metrics.viewport import vpsnr
from panolink.phy import Scheme, SegmentFormat, modulate
from panolink.phy.analog import AnalogFormat
from panolink.phy.fec.ldpc_decoder import LayeredDecoder
from panolink.phy.harq import HarqSender
from panolink.phy.modem.interleaving import interleaver

CLEAN: dict[str, Any] = {"csi": np.ones(1, np.complex64), "coherence_symbols": 1 << 20, "noise_variance": 1e-4}


@pytest.fixture
def burst(tiny: Codec, panorama: np.ndarray) -> tuple[list[Segment], list[bytes], np.ndarray]:
    """Segments, payloads and symbols of a panorama."""
    packet = tiny.encode(panorama, tau=0.3, robust=True)
    slices = [(str(one.layer), one.payload or b"") for one in packet.slices]
    payloads = [payload for _, payload in slices if payload]
    formats = assign_formats([(layer, len(payload)) for layer, payload in slices if payload])
    following = iter(formats)
    segments = [Segment(layer, next(following) if payload else None) for layer, payload in slices]
    return segments, payloads, modulate(payloads, formats)


def test_a_clean_channel_gives_the_codec_s_own_picture(tiny: Codec, panorama: np.ndarray, burst: Any) -> None:
    segments, _, symbols = burst
    received = Receiver(tiny).receive(symbols, segments, **CLEAN)
    sent = tiny.decode(tiny.encode(panorama, tau=0.3, robust=True))
    assert received.picture is not None and np.array_equal(received.picture, sent)
    assert received.channel.snr_db == pytest.approx(40, abs=0.1)
    assert all(count.lost == 0 for count in received.segments.values())
    assert received.segments["header"] == SegmentCounts(sent=1)


def test_a_burst_without_its_header_has_no_picture(tiny: Codec, burst: Any) -> None:
    segments, _, symbols = burst
    received = Receiver(tiny).receive(symbols, segments, **{**CLEAN, "csi": np.zeros(1, np.complex64)})
    assert received.picture is None and received.tokens is None
    assert received.segments["header"] == SegmentCounts(sent=1, lost=1, erased=1)
    assert received.channel.snr_db is None


def test_unsent_slices_are_concealed(tiny: Codec, panorama: np.ndarray, burst: Any) -> None:
    segments, payloads, _ = burst
    first = next(place for place, one in enumerate(segments) if one.layer == "indices")
    sent = [(one, payload) for one, payload in zip((s for s in segments if s.format), payloads, strict=True)]
    sent = [(one.format, payload) for one, payload in sent if one is not segments[first]]
    segments[first] = Segment("indices", unsent=True)
    symbols = modulate([payload for _, payload in sent], [fmt for fmt, _ in sent])
    received = Receiver(tiny).receive(symbols, segments, **CLEAN)
    assert received.tokens is not None and received.tokens.concealed is not None
    assert received.segments["indices"].unsent == 1 and received.segments["indices"].lost == 0
    assert received.picture is not None and vpsnr(panorama, received.picture) > 10


def test_a_second_round_brings_what_the_first_one_lost(tiny: Codec, burst: Any) -> None:
    segments, payloads, symbols = burst
    formats = [one.format for one in segments if one.format]
    random = np.random.default_rng(3)

    def noisy(clean: np.ndarray) -> np.ndarray:
        noise = random.normal(size=(2, clean.size)) * np.sqrt(10**0.45 / 2)  # Es/N0 of −4.5 dB
        return (clean + noise[0] + 1j * noise[1]).astype(np.complex64)

    channel = {**CLEAN, "noise_variance": 10**0.45}
    decoder = BurstDecoder(segments, LayeredDecoder())
    decoder.decode(noisy(symbols), **channel, keep=True)
    needed = decoder.needed
    assert needed and decoder.held_bytes > 10_000
    with_symbols = [place for place, one in enumerate(segments) if one.format]
    sender = HarqSender(payloads, formats)
    for number in (1, 2, 3):
        if not (needed := decoder.needed):
            break
        again = sender.burst([with_symbols.index(place) for place in needed], number)
        decoder.decode(
            noisy(again),
            **channel,
            retransmission=Retransmission(number, needed, [segments[place] for place in needed]),
            keep=True,
        )
    assert decoder.rounds > 1
    assert sum(count.recovered for count in decoder.counts.values()) > 0
    assert not decoder.header_lost
    assert unpack(tiny, decoder).tokens.width == 256


def test_a_later_round_of_other_segments_is_refused(burst: Any) -> None:
    segments, _, symbols = burst
    decoder = BurstDecoder(segments, LayeredDecoder())
    decoder.decode(symbols, **CLEAN, keep=True)
    other = Segment("indices", SegmentFormat(7, Scheme("qpsk", 1 / 2)))  # type: ignore[arg-type]
    for places in ([0], [len(segments) + 3]):
        with pytest.raises(SignalError, match=f"segment {places[0]} of a later round is none of the first round's"):
            decoder.decode(symbols, **CLEAN, retransmission=Retransmission(1, places, [other]))
    assert decoder.rounds == 1


def test_a_panorama_over_the_limit_is_refused_before_it_is_unpacked(tiny: Codec, burst: Any) -> None:
    segments, _, symbols = burst
    decoder = BurstDecoder(segments, LayeredDecoder())
    decoder.decode(symbols, **CLEAN)
    with pytest.raises(LimitError, match="pixels in a panorama: 32768, at most 1000 are allowed"):
        unpack(tiny, decoder, max_pixels=1000)


def test_analog_segments_need_their_gain_corrections() -> None:
    header, analog = Segment("header", SegmentFormat(9, Scheme("qpsk", 1 / 3))), AnalogFormat(4)  # type: ignore[arg-type]
    corrections = Segment(GAIN_CORRECTIONS, SegmentFormat(1, Scheme("qpsk", 1 / 3)))  # type: ignore[arg-type]
    BurstDecoder([header, corrections, Segment("features", analog)], LayeredDecoder())
    for wrong in (
        [header, Segment("features", analog)],
        [header, Segment("features", analog), corrections],
        [header, corrections, Segment("indices", analog)],
    ):
        with pytest.raises(SignalError, match="after one coded segment of gain corrections"):
            BurstDecoder(wrong, LayeredDecoder())


def test_lost_ones_are_those_that_are_counted_analog_ones_too(tiny: Codec, panorama: np.ndarray) -> None:
    request = RateRequest(budget=SymbolBudget.per_pixel(0.5, pixels=128 * 256), analog=True)
    sent = Transmitter(tiny).transmit(panorama, request)
    gains, done, erased = np.ones(sent.symbols.size, np.complex64), 0, []
    for number, segment in enumerate(sent.segments):
        if segment.format:
            places = interleaver(gains.size, slice(done, done + segment.format.symbols))
            done += segment.format.symbols
            if segment.layer == "mask" or (segment.layer == "features" and number % 2):
                gains[places] = 0
                erased.append(number)
    channel = {"csi": gains, "coherence_symbols": 1, "noise_variance": 1e-4}
    received = Receiver(tiny).receive(sent.symbols * gains, sent.segments, **channel)
    assert received.segments["features"].lost > 0 < received.segments["mask"].lost
    assert list(received.lost) == erased
    assert len(erased) == sum(count.lost for count in received.segments.values())


def test_a_picture_without_any_index_is_not_invented(tiny: Codec, burst: Any) -> None:
    segments, _, symbols = burst
    gains, done = np.ones(symbols.size, np.complex64), 0
    for segment in segments:
        if segment.format:
            places = interleaver(symbols.size, slice(done, done + segment.format.symbols))
            done += segment.format.symbols
            gains[places] = segment.layer != "indices"
    channel = {"csi": gains, "coherence_symbols": 1, "noise_variance": 1e-4}
    received = Receiver(tiny).receive(symbols * gains, segments, **channel)
    assert received.picture is None and received.tokens is None
    assert received.segments["header"].lost == 0
    assert received.segments["indices"].lost == received.segments["indices"].sent > 0
