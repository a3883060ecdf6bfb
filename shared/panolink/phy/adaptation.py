"""Choosing modulation, code rate and rate of the source for the channel at hand.

    budget = SymbolBudget.per_pixel(0.1, pixels=height * width)          # or SymbolBudget.within(deadline, symbol rate)
    controller = Controller(fading=True)
    for image in images:
        choice = controller.choice()
        plan = fill(lambda bpp: slices_of(image, bpp), budget, choice, pixels=height * width)
        …send plan.slices with plan.formats…
        controller.learn(Feedback(snr_db, {"indices": (sent, lost), "features": (sent, lost)}))

Layers are protected by worth: each is given the fastest scheme that still works when the SNR is so many decibels lower
than expected (`SAFETY_DB`). A header that is lost costs the panorama, a feature a little detail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import floor, isfinite
from typing import NamedTuple

from panolink.errors import RateError, SignalError
from panolink.phy.link_curves import LADDER, error_curve
from panolink.phy.pilots import pilot_count
from panolink.phy.schemes import Scheme, SegmentFormat, assign_formats

TARGET = 0.01
"""Share of the segments that a layer without any safety may lose."""

SAFETY_DB: dict[str, tuple[float, ...]] = {
    "header": (7.0,),
    "mask": (6.0,),
    "indices": (4.0,),
    "features": (2.0, 0.0),
}
"""By how much the SNR may fall before a layer goes, for each of its runs of slices."""

# A burst meets a finite number of fades: how well they average out differs from burst to burst.
_FADING_RESERVE_DB = 1.0
_HEADER_BYTES = 60  # short segments need more SNR: header and mask are judged at this size
_FULL_ENOUGH = 0.985
_ATTEMPTS = 6

Schemes = dict[str, tuple[Scheme, ...]]
Slices = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class SymbolBudget:
    """How many symbols a panorama may take, everything counted: CRC, code, padding."""

    symbols: int

    def __post_init__(self) -> None:
        if self.symbols < 1:
            raise SignalError(f"budget of {self.symbols} symbols; allowed: 1 and above")

    @classmethod
    def per_pixel(cls, symbols_per_pixel: float, *, pixels: int) -> "SymbolBudget":
        """So many symbols per pixel of the panorama."""
        if not (isfinite(symbols_per_pixel) and symbols_per_pixel > 0):
            raise SignalError(f"symbols per pixel is {symbols_per_pixel}; allowed: above 0")
        return cls(floor(symbols_per_pixel * pixels + 1e-9))

    @classmethod
    def within(cls, seconds: float, *, symbol_rate_hz: float) -> "SymbolBudget":
        """What the air carries in so many seconds. Time for coding and decoding is not in it."""
        if not (isfinite(seconds) and seconds > 0):
            raise SignalError(f"deadline is {seconds} s; allowed: above 0")
        return cls(floor(seconds * symbol_rate_hz + 1e-9))


@dataclass(frozen=True)
class Choice:
    """What the link should do at an SNR that it may count on.

    snr_db : mean SNR less the margin.
    fading : whether fading is expected in each segment; else the SNR stays the same while one is sent.
    """

    snr_db: float
    fading: bool = False

    def scheme(self, layer: str, *, run: int = 0, lowered_db: float = 0.0) -> Scheme:
        """The fastest scheme for a run of a layer; the strongest there is where none would do.

        lowered_db : give up so much of the layer's safety.
        """
        safety = SAFETY_DB[layer][run] - lowered_db
        size = _HEADER_BYTES if layer in ("header", "mask") else 330
        fit = [s for s in LADDER if required_snr_db(s, payload_bytes=size, fading=self.fading) + safety <= self.snr_db]
        return max(fit, key=lambda s: s.bits_per_symbol, default=LADDER[0])

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """Schemes of all layers, as `assign_formats` takes them; `lowered_db` is for the base layer."""
        return {
            layer: tuple(
                self.scheme(layer, run=run, lowered_db=0.0 if layer == "features" else lowered_db)
                for run in range(len(runs))
            )
            for layer, runs in SAFETY_DB.items()
        }


@lru_cache(maxsize=256)
def required_snr_db(scheme: Scheme, *, payload_bytes: int = 330, fading: bool = False) -> float:
    """The SNR at which one segment in a hundred is lost; with fading, interleaved over many fades."""
    need = error_curve(scheme, payload_bytes=payload_bytes).snr_at(TARGET)
    if not fading:
        return need
    # Fading was measured at one size; what a shorter segment needs more, it needs there too.
    alone = error_curve(scheme).snr_at(TARGET)
    return error_curve(scheme, channel="rayleigh").snr_at(TARGET) + need - alone


class Plan(NamedTuple):
    """A packet that fits a budget.

    bpp : rate that the codec was asked for; 0: the base layer alone.
    slices : of the packet, all of them.
    formats : of the slices that are sent, in order; empty ones are not.
    pilot_spacing : as `modulate` is to be told.
    unsent : places of the slices that do not fit; the receiver is to take them as lost.
    """

    bpp: float
    slices: Slices
    formats: list[SegmentFormat]
    pilot_spacing: int = 0
    unsent: tuple[int, ...] = ()

    @property
    def symbols(self) -> int:
        """Channel uses of the whole packet, pilots among them."""
        payload = sum(fmt.symbols for fmt in self.formats)
        return payload + pilot_count(payload, self.pilot_spacing)


def fill(
    pack: Callable[[float], Slices],
    budget: SymbolBudget,
    choice: Choice,
    *,
    pixels: int,
    pilot_spacing: int = 0,
) -> Plan:
    """The richest packet that fits into a budget of symbols.

    The base layer comes first. If it does not fit as safely as it should be sent, it is sent less safely; if it does
    not fit at the SNR that is expected, some index slices are left out, evenly, and concealment fills their rows. What
    is left goes to features: the rate of the source is found by regula falsi, since symbols grow with it almost in a
    line.

    Parameters
    ----------
    pack : slices (layer, payload) of the panorama at a rate in bits per pixel, all bits counted; 0: base layer alone.
    choice : what the channel allows.

    Raises
    ------
    RateError : not even the header and one index slice fit.
    """
    base = pack(0.0)
    schemes = choice.schemes()
    plan = _planned(0.0, base, schemes, pilot_spacing)
    lowered, reserve = 0.0, _FADING_RESERVE_DB if choice.fading else 0.0
    while plan.symbols > budget.symbols and lowered < SAFETY_DB["indices"][0] - reserve:
        lowered += 0.5
        schemes = choice.schemes(lowered_db=lowered)
        plan = _planned(0.0, base, schemes, pilot_spacing)
    if plan.symbols > budget.symbols:
        return _thinned(base, budget, schemes, pilot_spacing)

    features = schemes["features"]
    bits_per_symbol = len(features) / sum(1 / s.bits_per_symbol for s in features)
    base_bits = 8 * sum(len(payload) for _, payload in base)
    best = low = plan
    high: Plan | None = None
    low_bpp = base_bits / pixels
    guess = low_bpp + (budget.symbols - plan.symbols) * bits_per_symbol / pixels
    for _ in range(_ATTEMPTS):
        if guess <= low_bpp * 1.0005:
            break
        try:
            plan = _planned(guess, pack(guess), schemes, pilot_spacing)
        except RateError:  # the codec's bits are not quite those counted here: so little is no enhancement
            break
        if plan.symbols <= budget.symbols:
            stuck = plan.symbols == low.symbols and low is not best
            low, low_bpp, best = plan, guess, max(best, plan, key=lambda p: p.symbols)
            if plan.symbols >= _FULL_ENOUGH * budget.symbols or stuck:
                break
        else:
            high = plan
        if high is None:
            guess += (budget.symbols - low.symbols) * bits_per_symbol / pixels
        else:
            slope = (high.bpp - low_bpp) / max(high.symbols - low.symbols, 1)
            guess = low_bpp + slope * (0.995 * budget.symbols - low.symbols)
    return best


def _planned(bpp: float, slices: Slices, schemes: Schemes, pilot_spacing: int, unsent: tuple[int, ...] = ()) -> Plan:
    sent = [piece for i, piece in enumerate(slices) if piece[1] and i not in unsent]
    formats = assign_formats([(layer, len(payload)) for layer, payload in sent], schemes)
    return Plan(bpp, slices, formats, pilot_spacing, unsent)


def _thinned(base: Slices, budget: SymbolBudget, schemes: Schemes, pilot_spacing: int) -> Plan:
    """As many index slices, evenly spread, as fit. A slice holds rows that are far apart: what is left out lies between
    rows that are sent."""
    places = [i for i, (layer, _) in enumerate(base) if layer == "indices"]
    for count in range(len(places) - 1, 0, -1):
        sent = {places[i * len(places) // count] for i in range(count)}
        plan = _planned(0.0, base, schemes, pilot_spacing, tuple(i for i in places if i not in sent))
        if plan.symbols <= budget.symbols:
            return plan
    raise RateError(f"budget of {budget.symbols} symbols has no room for a header and a slice of the base layer here")


@dataclass(frozen=True)
class Feedback:
    """What a receipt tells of one panorama.

    snr_db : mean Es/N0 in dB; None where it is not known.
    segments : (sent, lost) by layer.
    """

    snr_db: float | None
    segments: Mapping[str, tuple[int, int]]


class Controller:
    """Follows the channel by its receipts, one after another. Not for use by several threads at once.

    The SNR to count on is the last one reported, less a margin for what the mean does not tell: fades within a
    panorama, and the time that has passed since. It falls at once, and rises only when the channel has become better
    by `hysteresis_db`.

    The margin grows when the features' first run, or anything more valuable, loses more than it should. It shrinks in
    small steps after a row of clean receipts; the row needed doubles each time that a smaller margin turned out to be
    too small. So on a channel that stays the same it comes to rest.

    Parameters
    ----------
    snr_db : the SNR to begin with.
    fading : see `Choice`.
    hysteresis_db : ≥ 0.
    """

    GROWTH_DB, SHRINKAGE_DB, MOST_DB = 1.5, 0.5, 12.0
    PATIENCE = 4  # clean receipts before the margin is made smaller for the first time
    MOST_PATIENCE = 1024
    TOLERATED = 0.1  # share of segments that may be lost: half the features have no safety and pay with detail

    def __init__(self, *, snr_db: float = 0.0, fading: bool = False, hysteresis_db: float = 1.0) -> None:
        if not hysteresis_db >= 0:
            raise SignalError(f"hysteresis_db is {hysteresis_db}; allowed: 0 and above")
        self.hysteresis_db, self.margin_db = hysteresis_db, 0.0
        self._choice = Choice(snr_db, fading)
        self._clean, self._patience = 0, self.PATIENCE
        self._shrunk = False

    def choice(self) -> Choice:
        """For the next panorama."""
        return self._choice

    def learn(self, feedback: Feedback) -> Choice:
        """Take a receipt into account, and choose anew."""
        self._learn_margin(feedback.segments)
        if feedback.snr_db is not None and isfinite(feedback.snr_db):
            counted_on = feedback.snr_db - self.margin_db
        else:
            counted_on = self._choice.snr_db - (self.GROWTH_DB if self._clean == 0 else 0.0)
        # Between here and the hysteresis above it the choice stands.
        if counted_on < self._choice.snr_db or counted_on >= self._choice.snr_db + self.hysteresis_db:
            self._choice = replace(self._choice, snr_db=counted_on)
        return self._choice

    def _learn_margin(self, segments: Mapping[str, tuple[int, int]]) -> None:
        sent, lost = (sum(counts[i] for counts in segments.values()) for i in (0, 1))
        base_lost = any(counts[1] for layer, counts in segments.items() if layer != "features")
        if base_lost or lost > self.TOLERATED * max(sent, 1):
            if self._shrunk:
                self._patience = min(2 * self._patience, self.MOST_PATIENCE)
            self.margin_db = min(self.margin_db + self.GROWTH_DB, self.MOST_DB)
            self._clean, self._shrunk = 0, False
            return
        self._clean += 1
        if self._clean >= self._patience and self.margin_db > 0:
            self.margin_db = max(self.margin_db - self.SHRINKAGE_DB, 0.0)
            self._clean, self._shrunk = 0, True
