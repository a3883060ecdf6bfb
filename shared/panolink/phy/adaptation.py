"""Choosing modulation, code rate and rate of the source for the channel at hand.

    budget = SymbolBudget.per_pixel(0.1, pixels=height * width)          # or SymbolBudget.within(deadline, symbol rate)
    controller = Controller(fading=True)
    for image in images:
        choice = controller.choice()
        plan = fill(lambda bpp: slices_of(image, bpp), budget, choice, pixels=height * width)
        …send plan.slices with plan.formats…
        controller.learn(Feedback(snr_db, {"indices": (sent, lost), "features": (sent, lost)}), choice)

Layers are protected by worth: each is given the fastest scheme that still works when the SNR is so many decibels lower
than expected (`SAFETY_DB`). A header that is lost costs the panorama, a feature a little detail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, floor, inf, isfinite
from typing import NamedTuple, Protocol

from panolink.errors import RateError, SignalError
from panolink.phy.link_curves import LADDER, error_curve
from panolink.phy.pilots import pilot_count
from panolink.phy.schemes import Scheme, SegmentFormat, assign_formats, default_schemes

TARGET = 0.01
"""Share of the segments that a layer without any safety may lose."""

SAFETY_DB: dict[str, tuple[float, ...]] = {
    "header": (7.0,),
    "mask": (6.0,),
    "indices": (4.0,),
    "features": (2.0, 0.0),
}
"""By how much the SNR may fall before a layer goes, for each of its runs of slices."""

HEADER_SNR_DB = 4.5
"""A controller's headers are sent as if the SNR were no better: they arrive from about −3 dB on, whatever comes.

That costs some 1100 symbols where the channel is good, and keeps panoramas from a fade that nobody could foresee.
"""

# A burst meets a finite number of fades: how well they average out differs from burst to burst.
_FADING_RESERVE_DB = 1.0
_HEADER_BYTES = 60  # short segments need more SNR: header and mask are judged at this size
_FULL_ENOUGH = 0.985
_ATTEMPTS = 6

Schemes = Mapping[str, tuple[Scheme, ...]]
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


class Protection(Protocol):
    """What `fill` asks for: how layers are to be protected."""

    @property
    def fading(self) -> float:
        """How far fading within a burst is expected: 0 not at all, 1 Rayleigh."""
        ...

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """Schemes of all layers, as `assign_formats` takes them; the base layer's may be so much less safe."""
        ...


class Fixed:
    """The default schemes, whatever the channel does."""

    fading = 0.0

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """See `default_schemes`."""
        return default_schemes()


@dataclass(frozen=True)
class Choice:
    """What the link should do at an SNR that it may count on.

    snr_db : mean SNR less the margin.
    fading : how far fading is expected in each segment: 0, the SNR stays the same while one is sent; 1, Rayleigh.
    margin_db : what has been taken off, see `Controller`.
    header_snr_db : the header is sent as if the SNR were no higher than that.
    """

    snr_db: float
    fading: float = 0.0
    margin_db: float = 0.0
    header_snr_db: float = inf

    def scheme(self, layer: str, *, run: int = 0, lowered_db: float = 0.0) -> Scheme:
        """The fastest scheme for a run of a layer; the strongest there is where none would do.

        lowered_db : give up so much of the layer's safety.
        """
        safety = SAFETY_DB[layer][run] - lowered_db
        size = _HEADER_BYTES if layer in ("header", "mask") else 330
        snr_db = min(self.snr_db, self.header_snr_db) if layer == "header" else self.snr_db
        fit = [s for s in LADDER if required_snr_db(s, payload_bytes=size, fading=self.fading) + safety <= snr_db]
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


@lru_cache(maxsize=1024)
def required_snr_db(scheme: Scheme, *, payload_bytes: int = 330, fading: float = 0.0) -> float:
    """The SNR at which one segment in a hundred is lost; with fading (1: Rayleigh), interleaved over many fades.

    Between no fading and Rayleigh's, which were measured, the SNR is a line in the amount of fading.
    """
    need = error_curve(scheme, payload_bytes=payload_bytes).snr_at(TARGET)
    if not fading:
        return need
    # Fading was measured at one size; what it takes more there, it takes at others too.
    alone = error_curve(scheme).snr_at(TARGET)
    return need + fading * (error_curve(scheme, channel="rayleigh").snr_at(TARGET) - alone)


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
    choice: Protection,
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
    RateError : not even the header and one index slice fit; names the symbols that they take.
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
        return _thinned(base, budget, schemes, pixels, pilot_spacing)

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


def _thinned(base: Slices, budget: SymbolBudget, schemes: Schemes, pixels: int, pilot_spacing: int) -> Plan:
    """As many index slices, evenly spread, as fit. A slice holds rows that are far apart: what is left out lies between
    rows that are sent."""
    places = [i for i, (layer, _) in enumerate(base) if layer == "indices"]
    least = _planned(0.0, base, schemes, pilot_spacing)
    for count in range(len(places) - 1, 0, -1):
        sent = {places[i * len(places) // count] for i in range(count)}
        least = _planned(0.0, base, schemes, pilot_spacing, tuple(i for i in places if i not in sent))
        if least.symbols <= budget.symbols:
            return least
    per_pixel = ceil(1e5 * least.symbols / pixels) / 1e5
    raise RateError(
        f"budget of {budget.symbols} symbols has no room for a header and a slice of the base layer here; "
        f"the least is {least.symbols}, {per_pixel:.5f} per pixel"
    )


@dataclass(frozen=True)
class Feedback:
    """What a receipt tells of one panorama.

    snr_db : mean Es/N0 in dB as the receiver measured it; None where it is not known.
    segments : (sent, lost) by layer.
    fading : variance of |h|² in the burst over its squared mean; None where it is not known.
    """

    snr_db: float | None
    segments: Mapping[str, tuple[int, int]]
    fading: float | None = None


class Controller:
    """Follows the channel by its receipts, one after another. Not for use by several threads at once.

    The SNR to count on is what receipts report, less a margin for what they do not tell: the time that has passed
    since, and all else that goes wrong. Small differences from one receipt to the next are averaged. A fall by more
    than twice `hysteresis_db` is followed at once, a rise by more than once that when a second receipt confirms it. The
    choice follows down at once, and up only by `hysteresis_db` or more.

    The margin grows when the features' first run, or anything more valuable, loses more than it should, in a panorama
    that was sent with the present margin: several may be under way when a fade begins, and it is one fade. It shrinks
    in small steps after a row of clean receipts; the row needed doubles each time that a smaller margin turned out to
    be too small. So on a channel that stays the same it comes to rest.

    Parameters
    ----------
    snr_db : the SNR to begin with, and to stay with where no receipts come.
    fading : see `Choice`; to begin with.
    hysteresis_db : ≥ 0.
    header_snr_db : see `Choice`.
    """

    GROWTH_DB, SHRINKAGE_DB, MOST_DB = 1.5, 0.5, 12.0
    PATIENCE = 4  # clean receipts before the margin is made smaller for the first time
    MOST_PATIENCE = 1024
    TOLERATED = 0.1  # share of segments that may be lost: half the features have no safety and pay with detail
    MEMORY = 4  # receipts over which differences are averaged
    FADING_STEP = 0.25  # the amount of fading is measured coarsely, and counted in such steps

    def __init__(
        self,
        *,
        snr_db: float = 0.0,
        fading: float = 0.0,
        hysteresis_db: float = 1.0,
        header_snr_db: float = inf,
    ) -> None:
        if not hysteresis_db >= 0:
            raise SignalError(f"hysteresis_db is {hysteresis_db}; allowed: 0 and above")
        self.hysteresis_db, self.margin_db = hysteresis_db, 0.0
        self._choice = Choice(snr_db, fading, 0.0, header_snr_db)
        self._snr_db: float | None = None
        self._risen: float | None = None  # an SNR that is to be confirmed
        self._fading: float | None = None
        self._clean, self._patience = 0, self.PATIENCE
        self._shrunk = False

    def choice(self) -> Choice:
        """For the next panorama."""
        return self._choice

    def learn(self, feedback: Feedback, sent_with: Choice | None = None) -> Choice:
        """Take a receipt into account, and choose anew.

        sent_with : the choice that the panorama was sent with; None: the present one.
        """
        grown = self._learn_margin(feedback.segments, self._choice if sent_with is None else sent_with)
        if feedback.snr_db is not None and isfinite(feedback.snr_db):
            counted_on = self._followed(feedback.snr_db) - self.margin_db
        else:
            counted_on = self._choice.snr_db - (self.GROWTH_DB if grown else 0.0)
        choice = replace(self._choice, margin_db=self.margin_db, fading=self._fading_of(feedback.fading))
        # Between here and the hysteresis above it the choice stands.
        if counted_on < choice.snr_db or counted_on >= choice.snr_db + self.hysteresis_db:
            choice = replace(choice, snr_db=counted_on)
        self._choice = choice
        return choice

    def _followed(self, snr_db: float) -> float:
        """The SNR after one more measurement of it."""
        mean = self._snr_db
        if mean is None or snr_db < mean - 2 * self.hysteresis_db:
            mean, self._risen = snr_db, None
        elif snr_db <= mean + self.hysteresis_db:
            mean, self._risen = mean + (snr_db - mean) / self.MEMORY, None
        elif self._risen is not None:
            mean, self._risen = min(self._risen, snr_db), None
        else:
            self._risen = snr_db
        self._snr_db = mean
        return mean

    def _fading_of(self, measured: float | None) -> float:
        """The amount of fading to count on after one more measurement of it."""
        if measured is None or not isfinite(measured):
            return self._choice.fading
        now = min(max(measured, 0.0), 1.0)
        self._fading = now if self._fading is None else self._fading + (now - self._fading) / self.MEMORY
        if abs(self._fading - self._choice.fading) < self.FADING_STEP:
            return self._choice.fading
        return round(self._fading / self.FADING_STEP) * self.FADING_STEP

    def _learn_margin(self, segments: Mapping[str, tuple[int, int]], sent_with: Choice) -> bool:
        """Whether the margin has grown."""
        sent, lost = (sum(counts[i] for counts in segments.values()) for i in (0, 1))
        base_lost = any(counts[1] for layer, counts in segments.items() if layer != "features")
        if sent_with.margin_db != self.margin_db:
            return False  # what it met says nothing of the present margin
        if base_lost or lost > self.TOLERATED * max(sent, 1):
            if self._shrunk:
                self._patience = min(2 * self._patience, self.MOST_PATIENCE)
            self.margin_db = min(self.margin_db + self.GROWTH_DB, self.MOST_DB)
            self._clean, self._shrunk = 0, False
            return True
        self._clean += 1
        if self._clean >= self._patience and self.margin_db > 0:
            self.margin_db = max(self.margin_db - self.SHRINKAGE_DB, 0.0)
            self._clean, self._shrunk = 0, True
        return False
