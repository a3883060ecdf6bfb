"""From features to what is sent of them: at a rate of the source, or whatever fits a budget of symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from panolink.errors import RateError
from panolink.phy.adaptation import Fixed, Plan, Protection, SymbolBudget, fill
from panolink.phy.schemes import assign_formats
from panolink.rpc.stages import timed
from panolink.v1 import transmitter_pb2

if TYPE_CHECKING:
    from panolink.codec.bitstream import Packet
    from panolink.codec.codec import Codec
    from panolink.codec.tokens import Tokens


@dataclass(frozen=True)
class Coded:
    """A panorama's tokens, their packet, and how its slices are sent.

    Where features are amplitudes, these are the symbols of each index slice's, and how many `values` they are; the
    plan's last slice then is not the packet's, but says how to read them.
    """

    tokens: Tokens
    packet: Packet
    plan: Plan
    amplitudes: Sequence[np.ndarray] = ()
    values: Sequence[int] = ()


@dataclass(frozen=True)
class Coding:
    """Codes the features of one panorama of a size (height, width).

    `seconds` takes the durations of the stages: with a budget, of all attempts together.
    """

    codec: Codec
    features: Any
    size: tuple[int, int]
    pilot_spacing: int
    seconds: dict[str, float]

    def at_rate(self, header: transmitter_pb2.PanoramaHeader, budget: SymbolBudget | None) -> Coded:
        """At the rate that the header asks for, protected as is usual.

        Raises:
            RateError: more symbols than the budget has.
        """
        which = header.WhichOneof("rate")
        tokens, packet = self._packed(**({which: getattr(header, which)} if which else {}))
        slices = slices_of(packet)
        formats = assign_formats([(layer, len(payload)) for layer, payload in slices if payload])
        plan = Plan(packet.bpp, slices, formats, self.pilot_spacing)
        if budget and plan.symbols > budget.symbols:
            raise RateError(
                f"at this {which} the panorama takes {plan.symbols} symbols, and its deadline leaves {budget.symbols}; "
                f"without {which}, what fits is sent"
            )
        return Coded(tokens, packet, plan)

    def within(self, budget: SymbolBudget, protection: Protection | None = None) -> Coded:
        """As much as a budget has room for. `protection`: None for the usual one.

        Raises:
            RateError: no room for a header and a slice of the base layer.
        """
        made: dict[float, tuple[Tokens, Packet]] = {}

        def pack(bpp: float) -> list[tuple[str, bytes]]:
            made[bpp] = self._packed(**({"bpp": bpp} if bpp else {"tau": 0.0}))
            return slices_of(made[bpp][1])

        plan = fill(
            pack,
            budget,
            protection or Fixed(),
            pixels=self.size[0] * self.size[1],
            pilot_spacing=self.pilot_spacing,
        )
        return Coded(*made[plan.bpp], plan)

    def _packed(self, **rate: float) -> tuple[Tokens, Packet]:
        with timed(self.seconds, "quantize"):
            tokens = self.codec.quantize(self.features, size=self.size, **rate)  # type: ignore[arg-type]
        with timed(self.seconds, "entropy_code"):
            return tokens, self.codec.pack(tokens)


def slices_of(packet: Packet) -> list[tuple[str, bytes]]:
    """Layers and payloads of a packet, as the radio takes them."""
    return [(str(piece.layer), piece.payload or b"") for piece in packet.slices]
