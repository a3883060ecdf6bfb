"""Choosing modulation, code rate and rate of the source for the channel at hand.

    budget = SymbolBudget.per_pixel(0.1, pixels=height * width)          # or SymbolBudget.within(deadline, symbol rate)
    controller = Controller()                                            # see `panolink.link.outer_loop`
    for image in images:
        choice = controller.choice()
        plan = fill(lambda bpp: slices_of(image, bpp), budget, choice, pixels=height * width)
        …send plan.slices with plan.formats…
        controller.learn(Feedback(snr_db, {"indices": (sent, lost), "features": (sent, lost)}), choice)

Layers are protected by worth: each is given the fastest scheme that still works when the SNR is so many decibels lower
than expected (`SAFETY_DB`). A header that is lost costs the panorama, a feature a little detail.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite
from typing import NamedTuple

from panolink.codec.bitstream import Packet
from panolink.codec.rate_control.controller import LENGTH_BITS, Room
from panolink.codec.slicing import feature_parts
from panolink.errors import RateError, SignalError
from panolink.link.unequal_protection import SAFETY_DB, Protection, Schemes, assign_formats
from panolink.phy.mcs import CRC_BITS, Scheme, SegmentFormat
from panolink.phy.modem.channel_estimation import pilot_count
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

BASE_LAYER_MARGIN_SHARE = 0.35
"""Share of a budget that the base layer may take to be safer than `SAFETY_DB` asks for."""


# A burst meets a finite number of fades: how well they average out differs from burst to burst.
_FADING_RESERVE_DB = 1.0


_FULL_ENOUGH = 0.985


_ATTEMPTS = 6


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

    def with_payloads(self, slices: Slices, schemes: Schemes) -> "Plan":
        """The plan for the packet itself, where this one was made for a draft of it."""
        return _planned(self.bpp, slices, schemes, self.pilot_spacing, self.unsent)

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

    The base layer comes first. Its extra margin is given up as far as it would take more than
    `BASE_LAYER_MARGIN_SHARE` of the budget. If the base layer does not fit as safely as it should be sent, it is sent
    less safely; if it does not fit at the SNR that is expected, some index slices are left out, evenly, and concealment
    fills their rows. What is left goes to features: the rate of the source is found by regula falsi, since symbols grow
    with it almost in a line.

    Parameters
    ----------
    pack : slices (layer, payload) of the panorama at a rate in bits per pixel, all bits counted; 0: base layer alone.
        Asked for several rates, of which one is chosen: nothing but the lengths of the payloads matters.
    choice : what the channel allows.

    Raises
    ------
    RateError : not even the header and one index slice fit; names the symbols that they take.
    """
    base = pack(0.0)
    schemes = protected(base, budget, choice, pilot_spacing)
    plan = _planned(0.0, base, schemes, pilot_spacing)
    if plan.symbols > budget.symbols:
        return _thinned(base, budget, schemes, pixels, pilot_spacing)

    bits_per_symbol = _bits_per_symbol(schemes["features"])
    best = low = plan
    low_bpp, high, high_bpp = _bpp_of(base, pixels), None, inf
    guess = low_bpp + (budget.symbols - plan.symbols) * bits_per_symbol / pixels
    for _ in range(_ATTEMPTS):
        if guess <= low_bpp * 1.0005:
            break
        try:
            plan = _planned(guess, pack(guess), schemes, pilot_spacing)
        except RateError:  # the codec's bits are not quite those counted here: so little is no enhancement
            break
        used = min(guess, _bpp_of(plan.slices, pixels))
        if plan.symbols <= budget.symbols:
            stuck = plan.symbols == low.symbols and low is not best
            low, low_bpp, best = plan, used, max(best, plan, key=lambda p: _bpp_of(p.slices, pixels))
            if plan.symbols >= _FULL_ENOUGH * budget.symbols or stuck:
                break
        else:
            high, high_bpp = plan, min(used, high_bpp)
        if high is None:
            guess += (budget.symbols - low.symbols) * bits_per_symbol / pixels
        else:
            slope = (high_bpp - low_bpp) / max(high.symbols - low.symbols, 1)
            guess = low_bpp + slope * (0.995 * budget.symbols - low.symbols)
    # Symbols do not grow evenly: with its length a slice comes by another scheme. More may fit than was tried.
    for share in (0.8, 0.6, 0.4, 0.2):
        guess = low_bpp + share * (high_bpp - low_bpp)
        if high is None or guess <= _bpp_of(best.slices, pixels) * 1.005:
            break
        try:
            plan = _planned(guess, pack(guess), schemes, pilot_spacing)
        except RateError:
            break
        if plan.symbols <= budget.symbols:
            return max(best, plan, key=lambda p: _bpp_of(p.slices, pixels))
    return best


def protected(base: Slices, budget: SymbolBudget, choice: Protection, pilot_spacing: int = 0) -> Schemes:
    """The schemes of all layers with which a budget is to be filled: as safe as the base layer may be sent in it."""
    lowered, extra_db = 0.0, choice.base_layer_margin_db
    most = extra_db + SAFETY_DB["indices"][0] - (_FADING_RESERVE_DB if choice.fading else 0.0)
    schemes = choice.schemes()
    symbols = _planned(0.0, base, schemes, pilot_spacing).symbols
    while lowered < most and symbols > budget.symbols * (BASE_LAYER_MARGIN_SHARE if lowered < extra_db else 1):
        lowered += 0.5
        schemes = choice.schemes(lowered_db=lowered)
        symbols = _planned(0.0, base, schemes, pilot_spacing).symbols
    return schemes


def symbol_room(
    budget: SymbolBudget,
    choice: Protection,
    *,
    size: tuple[int, int],
    pilot_spacing: int = 0,
    sphere: SphereMetadata = NOTHING_KNOWN,
) -> Room:
    """Bits that a budget of symbols leaves for mask and features of a panorama, as the codec's rate control asks for.

    Parameters
    ----------
    choice : what the channel allows.
    size : height and width.
    sphere : metadata that the packet's header carries.
    """

    def room(index_bytes: Sequence[int], mask_bits: float) -> float:
        indices = [bytes(count) for count in index_bytes]
        packet = Packet.build(fingerprint="00" * 8, size=size, step=-1, mask=b"", indices=indices, features=[])
        packet = packet.with_metadata(sphere)
        base = [(str(piece.layer), piece.payload or b"") for piece in packet.slices]
        schemes = protected(base, budget, choice, pilot_spacing)
        left = budget.symbols - _planned(0.0, base, schemes, pilot_spacing).symbols
        if pilot_spacing:
            left *= 1 - 1 / pilot_spacing
        if left < 0:
            return -1.0
        bits_per_symbol = _bits_per_symbol(schemes["features"])
        left -= (mask_bits + CRC_BITS) / schemes["mask"][0].bits_per_symbol
        parts = len(index_bytes) * feature_parts(left * bits_per_symbol, len(index_bytes))
        left -= LENGTH_BITS * (1 + parts) / schemes["header"][0].bits_per_symbol
        bits = left * bits_per_symbol - CRC_BITS * parts
        return max(bits + mask_bits + LENGTH_BITS * (1 + parts), 0.0)  # lengths: rate control counts them, too

    return room


def _bpp_of(slices: Slices, pixels: int) -> float:
    """Bits of a packet's slices ÷ pixels."""
    return 8 * sum(len(payload) for _, payload in slices) / pixels


def _bits_per_symbol(runs: Sequence[Scheme]) -> float:
    """Of a layer whose runs of slices, of as many bytes each, have these schemes."""
    return len(runs) / sum(1 / scheme.bits_per_symbol for scheme in runs)


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
