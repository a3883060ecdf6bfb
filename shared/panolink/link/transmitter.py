"""The transmitter of the paper's Figure 1: panorama → tokens → packet → protected segments → symbols.

request = RateRequest(budget=SymbolBudget.per_pixel(0.1, pixels=height * width))
transmission = Transmitter(codec).transmit(picture, request)
transmission.symbols, transmission.segments                         # what a channel and a `Receiver` take
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from panolink.codec.codec import DEFAULT_BPP
from panolink.codec.rate_control.controller import Budget
from panolink.codec.resolution import WHOLE
from panolink.errors import RateError
from panolink.link.analog_coding import code_analog
from panolink.link.coding import Coded, Coding, Stage, untimed
from panolink.link.rate_allocation import allocate, probe
from panolink.link.segments import GAIN_CORRECTIONS, Segment
from panolink.link.stream_coding import code_changes, whole_of_stream
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import Choice, Fixed, Protection
from panolink.phy import modulate
from panolink.phy.analog import AnalogFormat
from panolink.phy.mcs import SegmentFormat
from panolink.phy.modem.channel_estimation import check_pilot_spacing
from panolink.sphere.focus import Focus
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

if TYPE_CHECKING:
    from torch import Tensor

    from panolink.codec.codec import Codec
    from panolink.codec.streaming.encoder import StreamEncoder
    from panolink.codec.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class RateRequest:
    """What a panorama may cost, and how it is to be protected.

    Parameters
    ----------
    bpp : float | None
        Bits per pixel of the packet, above 0. With neither ``bpp``, ``tau`` nor ``budget``: as `Codec.encode`.
    mean_bpp : float | None
        Of a stream, in the mean (see `LeakyBucket`). Not together with ``bpp`` or ``tau``.
    tau : float | None
        Share of the features kept, 0 … 1. Not together with ``bpp``.
    budget : SymbolBudget | None
        Symbols that all segments and pilots may take; with a rate, the most that it may come to.
    protection : Protection
        Scheme of each layer; `Fixed` for the default ones, a `Choice` for the channel at hand. A `Choice` is for what
        fits a budget, not for a rate; with ``analog``, for bpp and tau too, for it is what goes beside amplitudes.
    analog : bool
        Send features as uncoded amplitudes where the budget leaves room for them.
    retransmission_reserve : float
        Share of the budget kept back for later rounds of hybrid ARQ, 0 … 0.5.
    pilot_spacing : int
        Every so many symbols one is a pilot; 0: none.
    focus : tuple[Focus, ...]
        Where somebody looks, as `panolink.sphere.focus.quantized` gives it: the bits go there. Amplitudes
        (``analog``) are as fine everywhere.
    probe : bool
        Where nothing fits as safely as a `Choice` asks for, send what fits less safely (see `rate_allocation`).

    Raises
    ------
    RateError
        More than one of ``bpp``, ``mean_bpp`` and ``tau``, one or the reserve out of its range, or a `Choice` with one
        of them or without a budget.
    SignalError
        A pilot spacing out of its range.
    """

    bpp: float | None = None
    mean_bpp: float | None = None
    tau: float | None = None
    budget: SymbolBudget | None = None
    protection: Protection = field(default_factory=Fixed)
    analog: bool = False
    retransmission_reserve: float = 0.0
    pilot_spacing: int = 0
    probe: bool = False
    focus: tuple[Focus, ...] = ()

    def __post_init__(self) -> None:
        Budget(bpp=self.bpp, tau=self.tau)  # refuses both, and what is out of range
        if self.mean_bpp is not None:
            if self.bpp is not None or self.tau is not None:
                raise RateError("give one of bpp, mean bpp and tau")
            Budget(bpp=self.mean_bpp)
        if not isinstance(self.protection, Fixed):
            at_rate = self.budget is None or self.bpp is not None or self.tau is not None
            if self.mean_bpp is not None or (at_rate and not self.analog):
                raise RateError("a rate goes with the usual protection: a Choice is for what a budget of symbols holds")
        if not 0 <= self.retransmission_reserve <= 0.5:
            raise RateError(f"retransmission_reserve is {self.retransmission_reserve}; allowed: 0 … 0.5")
        check_pilot_spacing(self.pilot_spacing)


@dataclass(frozen=True)
class Transmission:
    """A panorama on its way into the air.

    Parameters
    ----------
    symbols : np.ndarray
        complex64 (n,), unit mean power, pilots among them.
    segments : Sequence[Segment]
        What they carry: a receiver has to know it.
    payloads : Sequence[bytes]
        Of the coded segments with symbols, in order.
    tokens : Tokens
        What the packet was made of.
    bits : Mapping[str, int]
        Of the source coder, by layer; all of them.
    size : tuple[int, int]
        Height and width of the panorama.
    protection : Protection
        What the segments are sent with: that of the request, unless this is a probe.
    number : int
        Of the packet in its stream; 0: a single picture.
    reference : int
        Number of the packet that it is predicted from; 0: none.
    """

    symbols: np.ndarray
    segments: Sequence[Segment]
    payloads: Sequence[bytes]
    tokens: Tokens
    bits: Mapping[str, int]
    size: tuple[int, int]
    protection: Protection
    number: int = 0
    reference: int = 0

    @property
    def unsent(self) -> set[int]:
        """Positions of segments that were left out."""
        return {place for place, segment in enumerate(self.segments) if segment.unsent}

    @property
    def formats(self) -> list[SegmentFormat]:
        """Formats of the coded segments with symbols, in order."""
        return [fmt for segment in self.segments if isinstance(fmt := segment.format, SegmentFormat)]

    @property
    def bpp(self) -> float:
        """Bits per pixel, all counted."""
        return sum(self.bits.values()) / (self.size[0] * self.size[1])

    @property
    def symbols_per_pixel(self) -> float:
        """Channel uses per pixel, all counted."""
        return len(self.symbols) / (self.size[0] * self.size[1])


class Transmitter:
    """Transmits panoramas with one model."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def transmit(
        self,
        picture: np.ndarray,
        request: RateRequest,
        *,
        features: Tensor | None = None,
        stage: Stage = untimed,
        sphere: SphereMetadata = NOTHING_KNOWN,
        stream: StreamEncoder | None = None,
    ) -> Transmission:
        """Code and modulate a panorama.

        Parameters
        ----------
        picture : np.ndarray
            uint8 (H, W, 3).
        features : Tensor | None
            Its features at full resolution, where they are known (`Codec.extract`).
        stage : Stage
            Measures the stages.
        sphere : SphereMetadata
            Metadata that the packet's header carries.
        stream : StreamEncoder | None
            Of which this is the next picture: what the receiver holds of it is not sent again. One at a time.

        Raises
        ------
        RateError
            The base layer does not fit: into ``bpp``, or a header and a slice of it into the budget.
        """
        known = {} if features is None else {WHOLE: features}
        if request.mean_bpp is not None and stream is None:
            raise RateError("a mean rate is for streams; a single picture takes bpp")
        focus = () if request.analog and stream is None else request.focus
        coding = Coding(self.codec, picture, known, request.pilot_spacing, stage, sphere, focus)
        if stream is None:
            coded, protection = _coded(coding, request)
        else:
            coded, protection = _coded_in_stream(coding, request, stream)
        plan, bits = coded.plan, dict(coded.packet.bits)
        following = iter(plan.formats)
        segments = [
            Segment(layer, next(following) if payload and place not in plan.unsent else None, place in plan.unsent)
            for place, (layer, payload) in enumerate(plan.slices)
        ]
        payloads = [payload for place, (_, payload) in enumerate(plan.slices) if payload and place not in plan.unsent]
        if coded.values:
            segments += [Segment("features", AnalogFormat(count) if count else None) for count in coded.values]
            bits["features"] = sum(8 * len(payload) for layer, payload in plan.slices if layer == GAIN_CORRECTIONS)
        with stage("fec_encode"):
            symbols = modulate(payloads, plan.formats, pilot_spacing=request.pilot_spacing, amplitudes=coded.amplitudes)
        place = coded.packet.header.stream
        number, reference = (place.number, place.reference) if place else (0, 0)
        return Transmission(symbols, segments, payloads, coded.tokens, bits, coding.size, protection, number, reference)


def _coded_in_stream(coding: Coding, request: RateRequest, stream: StreamEncoder) -> tuple[Coded, Protection]:
    """What is sent of a stream's picture: what has changed, or all of it. Features are coded, never amplitudes."""
    if request.tau is not None:
        raise RateError("tau is for single pictures; a stream takes bpp, a budget of symbols or a deadline")
    mean, bucket = request.mean_bpp, stream.bucket
    at_rate = request.budget is None or request.bpp is not None
    protection = Fixed() if at_rate else request.protection  # a choice at a rate is for amplitudes alone
    request = replace(request, analog=False, mean_bpp=None, protection=protection)
    if mean is None:
        return _changes_or_whole(coding, request, stream)
    most = bucket.allowed(mean, whole=True)
    try:
        at_mean = replace(request, bpp=bucket.allowed(mean, whole=False))
        coded, protection = _changes_or_whole(coding, at_mean, stream, whole_bpp=most)
    except RateError as error:
        try:
            if not request.budget:
                raise
            # Perhaps the deadline leaves less than the mean does: what fits it, and the mean too.
            coded, protection = _changes_or_whole(coding, request, stream, most_bpp=most)
        except RateError:
            pixels = coding.size[0] * coding.size[1]
            message = f"a mean of {mean * pixels:.0f} bits a picture leaves a whole one {most * pixels:.0f}: {error}"
            raise RateError(message) from error
    bucket.spent(coded.packet.bpp, mean)
    return coded, protection


def _changes_or_whole(
    coding: Coding, request: RateRequest, stream: StreamEncoder, *, whole_bpp: float = 0.0, most_bpp: float = inf
) -> tuple[Coded, Protection]:
    """What has changed at the rate and within the budget of ``request``; a whole picture where that is better, which
    may take ``whole_bpp`` bits per pixel where that is more. `RateError` beyond ``most_bpp``."""
    budget, bpp = request.budget, request.bpp
    if budget and bpp is None and request.retransmission_reserve:
        budget = SymbolBudget(max(1, int((1 - request.retransmission_reserve) * budget.symbols)))
    try:
        coded = code_changes(
            coding,
            stream,
            budget,
            bpp or (None if budget else DEFAULT_BPP),
            request.protection,
            whole_bpp=whole_bpp,
            most_bpp=most_bpp,
        )
    except RateError:
        coded = None  # perhaps less of a whole picture fits
    protection = request.protection
    if coded is None:
        if whole_bpp:
            request = replace(request, bpp=whole_bpp)
        coded, protection = _coded(whole_of_stream(coding, stream), request)
        if coded.packet.bpp > most_bpp:
            raise RateError(f"what fits takes {coded.packet.bpp:.4g} bits per pixel, {most_bpp:.4g} are allowed")
        stream.sent_whole(coded.tokens, coded.packet)
    return coded, protection


def _coded(coding: Coding, request: RateRequest) -> tuple[Coded, Protection]:
    """What is sent of a panorama, and how."""
    protection = request.protection
    budget = request.budget
    at_rate = budget is None or request.bpp is not None or request.tau is not None
    if budget and not at_rate and request.retransmission_reserve:
        budget = SymbolBudget(max(1, int((1 - request.retransmission_reserve) * budget.symbols)))
    coded = coding.at_rate(request.bpp, request.tau) if at_rate else None
    if coded and budget and coded.plan.symbols > budget.symbols:
        which = "tau" if request.bpp is None else "bpp"
        raise RateError(
            f"at this {which} the panorama takes {coded.plan.symbols} symbols, and its deadline leaves "
            f"{budget.symbols}; without {which}, what fits is sent"
        )
    if request.analog:
        # As many symbols as coded features would have had, where nothing else is said.
        room = SymbolBudget(coded.plan.symbols) if coded else budget
        assert room
        if analog := code_analog(coding, room, protection, tau=request.tau):
            return analog, protection
    if coded:
        return coded, Fixed()  # a `Choice` is for amplitudes, which had no room
    assert budget and request.budget
    for room in dict.fromkeys((budget, request.budget)):  # a picture first, and then rounds
        try:
            return allocate(coding, room, protection), protection
        except RateError:
            if room == request.budget and not (request.probe and isinstance(protection, Choice)):
                raise
    assert isinstance(protection, Choice)
    return probe(coding, request.budget, protection)
