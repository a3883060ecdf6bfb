"""Source coding of a stream's panorama for the air: the changes since what the receiver holds, or all of it.

stream = StreamEncoder(codec, robust=True)
sent = Transmitter(codec).transmit(picture, request, stream=stream)
…
stream.acknowledge(sent.number, lost={…})              # positions of segments that did not arrive
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from panolink.codec.bitstream import Packet, StreamPlace
from panolink.codec.streaming.changes import draft_packet
from panolink.codec.streaming.encoder import Change, StreamEncoder
from panolink.errors import RateError
from panolink.link.coding import Coded, Coding, slices_of
from panolink.link.rate_allocation import both_layers, room_for
from panolink.link.symbol_budget import Plan, SymbolBudget
from panolink.link.unequal_protection import Protection, default_schemes

if TYPE_CHECKING:
    from panolink.codec.streaming.state import TokenUpdate

FIRST_FINE_ENOUGH = 10
"""quarter octaves, of the first picture of a stream: later ones refine it, up to its own resolution. Best of
6 to 18 on three validation panoramas at 0.05 symbols per pixel, by 0.1 dB (Rayleigh, 10 dB) to 0.6 dB (5 dB) over 6"""

_INDEX_BYTES = 12
"""of an index slice, before it is known what changes"""


@dataclass(frozen=True)
class ChangeCoding(Coding):
    """Codes what has changed in one panorama.

    Parameters
    ----------
    stream : StreamEncoder
    change : Change
    """

    stream: StreamEncoder = field(kw_only=True)
    change: Change = field(kw_only=True)

    def pack(self, tokens: Any) -> Packet:
        """Entropy-code an update."""
        with self.stage("entropy_code"):
            return self.stream.packet_of(self.change, tokens).with_metadata(self.sphere)

    def draft(self, tokens: Any, bits: NDArray[np.float32]) -> Packet:
        """A packet of about the lengths that `pack` would give."""
        place = self.stream.place_of(self.change)
        index_bits = self.change.index_bits(tokens)
        return draft_packet(self.codec.fingerprint, tokens, bits, place, index_bits).with_metadata(self.sphere)


def code_changes(
    coding: Coding,
    stream: StreamEncoder,
    budget: SymbolBudget | None,
    bpp: float | None,
    protection: Protection,
    *,
    whole_bpp: float = 0.0,
    most_bpp: float = inf,
) -> Coded | None:
    """Code a panorama as changes since what the receiver holds.

    Parameters
    ----------
    coding : Coding
        The panorama.
    stream : StreamEncoder
    budget : SymbolBudget or None
        For all segments and pilots.
    bpp : float or None
        Bits per pixel of the packet. With both, the budget is the most that it may come to.
    protection : Protection
        What the channel allows.
    whole_bpp : float
        Bits per pixel that a whole picture may take, where that is more.
    most_bpp : float
        Bits per pixel that it may take, whatever the budget holds.

    Returns
    -------
    Coded or None
        None where a whole picture is due: the receiver holds nothing that fits, or so much has changed that one is
        better. The stream has noted what is sent.

    Raises
    ------
    RateError
        What changed does not fit the budget at all, or what fits takes more bits than ``most_bpp``.
    """
    with coding.stage("encode"):
        change = stream.prepare(coding.picture, focus=coding.focus, known=coding.known)
    if change is None:
        return None
    changes = ChangeCoding(
        coding.codec,
        coding.picture,
        coding.known,
        coding.pilot_spacing,
        coding.stage,
        coding.sphere,
        coding.focus,
        stream=stream,
        change=change,
    )
    if bpp is None:
        assert budget
        coded, allowed = _within_symbols(changes, change, budget, protection)
    else:
        allowed = bpp
        with coding.stage("quantize"):
            update, packet = stream.within(change, bpp, coding.sphere)
        plan = Plan.of(packet.bpp, slices_of(packet), default_schemes(), coding.pilot_spacing)
        if budget and plan.symbols > budget.symbols:
            raise RateError(
                f"at this bpp the picture takes {plan.symbols} symbols, and its deadline leaves {budget.symbols}; "
                "without bpp, what fits is sent"
            )
        coded = Coded(update, packet, plan)  # type: ignore[arg-type]
    update: TokenUpdate = coded.tokens  # type: ignore[assignment]
    if stream.whole_is_better(change, update, coded.packet.bpp, most_bpp=whole_bpp):
        return None
    allowed = min(max(allowed, whole_bpp), most_bpp)
    if stream.finer_is_due(change, update, coding.picture, used=coded.packet.bpp, allowed=allowed):
        return None
    if coded.packet.bpp > most_bpp:
        raise RateError(f"what fits takes {coded.packet.bpp:.4g} bits per pixel, {most_bpp:.4g} are allowed")
    stream.sent(change, update, coded.packet)
    return coded


def _within_symbols(
    coding: ChangeCoding, change: Change, budget: SymbolBudget, protection: Protection
) -> tuple[Coded, float]:
    """What fits the symbols, and how many bits per pixel a picture may take in them, by a rough estimate."""
    room = room_for(coding, budget, protection)([_INDEX_BYTES] * change.base.slices, 0.0)
    with coding.stage("quantize"):
        filled = change.filled(max(room, 1.0))
    return both_layers(coding, budget, protection, filled), room / change.base.pixels


def whole_of_stream(coding: Coding, stream: StreamEncoder) -> Coding:
    """The same panorama as a whole picture of a stream."""
    fine_enough = FIRST_FINE_ENOUGH if stream.reference is None else None
    return replace(coding, place=StreamPlace(stream.next_number), fine_enough=fine_enough)
