"""Choosing modulation, code rate and rate of the source for the channel at hand.

    budget = SymbolBudget.per_pixel(0.1, pixels=height * width)          # or SymbolBudget.within(deadline, symbol rate)
    controller = Controller()                                            # see `panolink.phy.controller`
    for image in images:
        choice = controller.choice()
        plan = fill(lambda bpp: slices_of(image, bpp), budget, choice, pixels=height * width)
        …send plan.slices with plan.formats…
        controller.learn(Feedback(snr_db, {"indices": (sent, lost), "features": (sent, lost)}), choice)

Layers are protected by worth: each is given the fastest scheme that still works when the SNR is so many decibels lower
than expected (`SAFETY_DB`). A header that is lost costs the panorama, a feature a little detail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

HEADER_SNR_DB, HEADER_ARRIVES_DB = 4.5, -3.0
"""An adaptive link's headers are sent as if the SNR were no better than the one: they arrive from the other on.

That costs some 1100 symbols where the channel is good, and keeps panoramas from a fade that nobody could foresee.
"""

INSURANCE_SHARE = 0.35
"""Share of a budget that the base layer may take to be safer than `SAFETY_DB` asks for."""

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

    @property
    def insurance_db(self) -> float:
        """How much further than by `SAFETY_DB` the SNR may fall before indices go, where the budget has room for it."""
        ...

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """Schemes of all layers, as `assign_formats` takes them; the base layer's may be so much less safe, the
        insurance first."""
        ...


class Fixed:
    """The default schemes, whatever the channel does."""

    fading = insurance_db = 0.0

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
    insurance_db : as in `Protection`.
    """

    snr_db: float
    fading: float = 0.0
    margin_db: float = 0.0
    header_snr_db: float = inf
    insurance_db: float = 0.0

    def scheme(self, layer: str, *, run: int = 0, lowered_db: float = 0.0) -> Scheme:
        """The fastest scheme for a run of a layer; the strongest there is where none would do.

        lowered_db : give up so much of the base layer's safety, the insurance first.
        """
        lowered = 0.0 if layer == "features" else lowered_db
        insured = self.insurance_db if layer == "indices" else min(self.insurance_db, lowered)
        safety = SAFETY_DB[layer][run] + insured - lowered
        size = _HEADER_BYTES if layer in ("header", "mask") else 330
        snr_db = min(self.snr_db, self.header_snr_db) if layer == "header" else self.snr_db
        fit = [s for s in LADDER if required_snr_db(s, payload_bytes=size, fading=self.fading) + safety <= snr_db]
        return max(fit, key=lambda s: s.bits_per_symbol, default=LADDER[0])

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """Schemes of all layers, as `assign_formats` takes them; `lowered_db` is for the base layer."""
        return {
            layer: tuple(self.scheme(layer, run=run, lowered_db=lowered_db) for run in range(len(runs)))
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

    The base layer comes first. Its insurance is given up as far as it would take more than `INSURANCE_SHARE` of the
    budget. If the base layer does not fit as safely as it should be sent, it is sent less safely; if it does not fit at
    the SNR that is expected, some index slices are left out, evenly, and concealment fills their rows. What is left
    goes to features: the rate of the source is found by regula falsi, since symbols grow with it almost in a
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
    lowered, insured = 0.0, choice.insurance_db
    most = insured + SAFETY_DB["indices"][0] - (_FADING_RESERVE_DB if choice.fading else 0.0)
    while lowered < most and plan.symbols > budget.symbols * (INSURANCE_SHARE if lowered < insured else 1):
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
