"""Segments of a burst: which slices of a packet are sent, in which layer, and how many of them were lost."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from panolink.phy.analog import AnalogFormat
from panolink.phy.mcs import SegmentFormat

GAIN_CORRECTIONS = "gain_corrections"
"""layer of the coded segment that carries the scales of analog features (`panolink.link.analog_features`)"""

LAYERS = ("header", "mask", "indices", GAIN_CORRECTIONS, "features")
"""names of all layers, in the order in which a burst has them"""


@dataclass(frozen=True)
class Segment:
    """One segment: a slice of a packet, or analog features.

    Parameters
    ----------
    layer : str
        One of `LAYERS`.
    format : SegmentFormat | AnalogFormat | None
        How it is sent; None for a slice that is empty or `unsent`.
    unsent : bool
        Left out, to keep a budget: the receiver takes it as lost.
    """

    layer: str
    format: SegmentFormat | AnalogFormat | None = None
    unsent: bool = False


@dataclass(frozen=True)
class SegmentCounts:
    """Numbers of a layer's segments by their outcome; empty ones do not count.

    Parameters
    ----------
    sent : int
        Those with symbols.
    lost : int
        Of these, those whose CRC failed in the end; an analog one of which nothing arrived.
    unsent : int
        Those left out.
    recovered : int
        Those that a retransmission recovered.
    erased : int
        Those of which nothing at all arrived in the first round.
    """

    sent: int = 0
    lost: int = 0
    unsent: int = 0
    recovered: int = 0
    erased: int = 0


def count_segments(
    segments: Sequence[Segment],
    payloads: Sequence[bytes | None],
    *,
    recovered: Container[int] = (),
    erased: Container[int] = (),
) -> dict[str, SegmentCounts]:
    """Count segments by layer, in the order of `LAYERS`.

    Parameters
    ----------
    segments : Sequence[Segment]
        Of the burst.
    payloads : Sequence[bytes | None]
        One per segment; None for one that was lost.
    recovered, erased : Container[int]
        Positions of such segments.

    Returns
    -------
    Counts by layer; layers without segments are left out.
    """
    places: dict[str, list[int]] = {}
    for place, segment in enumerate(segments):
        if segment.format or segment.unsent:
            places.setdefault(segment.layer, []).append(place)
    counts = {}
    for layer in sorted(places, key=LAYERS.index):
        sent = [place for place in places[layer] if not segments[place].unsent]
        counts[layer] = SegmentCounts(
            sent=len(sent),
            lost=sum(payloads[place] is None for place in sent),
            unsent=len(places[layer]) - len(sent),
            recovered=sum(place in recovered for place in sent),
            erased=sum(place in erased for place in sent),
        )
    return counts
