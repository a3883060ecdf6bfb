"""A budget of symbols, and a plan: the slices of a packet with the format in which each is sent.

budget = SymbolBudget.per_pixel(0.1, pixels=height * width)    # or SymbolBudget.within(deadline, symbol_rate_hz=…)
plan = Plan.of(0.0, slices, schemes, pilot_spacing)
plan.symbols <= budget.symbols
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite
from typing import NamedTuple, TypeAlias

from panolink.errors import SignalError
from panolink.link.unequal_protection import Schemes, assign_formats
from panolink.phy.mcs import SegmentFormat
from panolink.phy.modem.channel_estimation import pilot_count

Slices: TypeAlias = Sequence[tuple[str, bytes]]
"""layer and payload of each slice of a packet, in order"""


@dataclass(frozen=True)
class SymbolBudget:
    """How many symbols a panorama may take, everything counted: CRC, code, padding, pilots.

    Parameters
    ----------
    symbols : int
        Channel uses, ≥ 1.

    Raises
    ------
    SignalError
        Fewer than one.
    """

    symbols: int

    def __post_init__(self) -> None:
        if self.symbols < 1:
            raise SignalError(f"budget of {self.symbols} symbols; allowed: 1 and above")

    @classmethod
    def per_pixel(cls, symbols_per_pixel: float, *, pixels: int) -> "SymbolBudget":
        """So many symbols per pixel of the panorama.

        Parameters
        ----------
        symbols_per_pixel : float
            Above 0.
        pixels : int
            Height × width.

        Raises
        ------
        SignalError
            Not a positive number, or less than one symbol in all.
        """
        if not (isfinite(symbols_per_pixel) and symbols_per_pixel > 0):
            raise SignalError(f"symbols per pixel is {symbols_per_pixel}; allowed: above 0")
        return cls(floor(symbols_per_pixel * pixels + 1e-9))

    @classmethod
    def within(cls, seconds: float, *, symbol_rate_hz: float) -> "SymbolBudget":
        """What a channel carries in so many seconds. Time for coding and decoding is not in it.

        Parameters
        ----------
        seconds : float
            The deadline, above 0.
        symbol_rate_hz : float
            Symbols per second.

        Raises
        ------
        SignalError
            A deadline that is not a positive number, or too short for one symbol.
        """
        if not (isfinite(seconds) and seconds > 0):
            raise SignalError(f"deadline is {seconds} s; allowed: above 0")
        return cls(floor(seconds * symbol_rate_hz + 1e-9))


class Plan(NamedTuple):
    """The slices of a packet, and how each is sent.

    Parameters
    ----------
    bpp : float
        Rate that the codec was asked for, bits per pixel; 0: the base layer alone.
    slices : Slices
        All of the packet's.
    formats : list of SegmentFormat
        Of the slices that are sent, in order; empty ones are not.
    pilot_spacing : int
        Every so many symbols one is a pilot; 0: none.
    unsent : tuple of int
        Places of the slices that do not fit; the receiver takes them as lost.
    """

    bpp: float
    slices: Slices
    formats: list[SegmentFormat]
    pilot_spacing: int = 0
    unsent: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, bpp: float, slices: Slices, schemes: Schemes, pilot_spacing: int, unsent: tuple[int, ...] = ()
    ) -> "Plan":
        """Give every slice with a payload that is not in ``unsent`` its format; parameters as of `Plan`.

        Parameters
        ----------
        schemes : Schemes
            Of each layer, as `assign_formats` takes them.
        """
        sent = [piece for i, piece in enumerate(slices) if piece[1] and i not in unsent]
        formats = assign_formats([(layer, len(payload)) for layer, payload in sent], schemes)
        return cls(bpp, slices, formats, pilot_spacing, unsent)

    def with_payloads(self, slices: Slices, schemes: Schemes) -> "Plan":
        """The plan for a packet's ``slices``, where this one was made for a draft of it."""
        return Plan.of(self.bpp, slices, schemes, self.pilot_spacing, self.unsent)

    @property
    def symbols(self) -> int:
        """Channel uses of the whole packet, pilots among them."""
        payload = sum(fmt.symbols for fmt in self.formats)
        return payload + pilot_count(payload, self.pilot_spacing)
