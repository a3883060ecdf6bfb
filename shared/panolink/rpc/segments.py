"""Formats of segments, between the radio's types and the wire's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from panolink.errors import SignalError
from panolink.phy import Modulation, Scheme, SegmentFormat, assign_formats
from panolink.v1 import link_pb2

_MODULATIONS = {
    Modulation.QPSK: link_pb2.MODULATION_QPSK,
    Modulation.QAM16: link_pb2.MODULATION_16QAM,
    Modulation.QAM64: link_pb2.MODULATION_64QAM,
}
_MODULATIONS_BACK = {number: modulation for modulation, number in _MODULATIONS.items()}

LAYERS = {
    "header": link_pb2.LAYER_HEADER,
    "mask": link_pb2.LAYER_MASK,
    "indices": link_pb2.LAYER_INDICES,
    "features": link_pb2.LAYER_FEATURES,
}
"""Layers of a packet by the codec's names."""

LAYER_NAMES = {number: name for name, number in LAYERS.items()}
"""The codec's names of the wire's layers."""


def segments_of(
    slices: Sequence[tuple[str, bytes]],
) -> tuple[list[link_pb2.SegmentFormat], list[SegmentFormat]]:
    """The segments of a packet's slices (layer, payload), for the wire and for the radio.

    Every slice has its segment on the wire. An empty slice takes no symbols, so the radio knows nothing of
    it.
    """
    formats = assign_formats([(layer, len(payload)) for layer, payload in slices if payload])
    following = iter(formats)
    segments = []
    for layer, payload in slices:
        segment = link_pb2.SegmentFormat(payload_bytes=len(payload), layer=LAYERS[layer])
        if payload:
            scheme = next(following).scheme
            segment.modulation, segment.code_rate = _MODULATIONS[scheme.modulation], scheme.code_rate
        segments.append(segment)
    return segments, formats


def formats_from_wire(segments: Iterable[link_pb2.SegmentFormat]) -> list[SegmentFormat]:
    """The radio's formats; `SignalError` for an unknown modulation, a code rate or a length that cannot be.

    Empty segments are left out; `payloads_from_segments` puts them back.
    """
    formats: list[SegmentFormat] = []
    schemes: dict[tuple[int, float], Scheme] = {}
    for segment in segments:
        if not segment.payload_bytes:
            continue
        key = (segment.modulation, segment.code_rate)
        if key not in schemes:
            if segment.modulation not in _MODULATIONS_BACK:
                raise SignalError(f"unknown modulation number {segment.modulation}; allowed: 1, 2, 3")
            schemes[key] = Scheme(_MODULATIONS_BACK[segment.modulation], segment.code_rate)
        formats.append(SegmentFormat(segment.payload_bytes, schemes[key]))
    return formats


def payloads_from_segments(
    segments: Iterable[link_pb2.SegmentFormat], received: Iterable[bytes | None]
) -> list[bytes | None]:
    """Payloads of all segments, from those that the radio knows of; None for a lost one."""
    following = iter(received)
    return [next(following) if segment.payload_bytes else b"" for segment in segments]


def count_segments(
    segments: Sequence[link_pb2.SegmentFormat], payloads: Sequence[bytes | None]
) -> list[link_pb2.LayerSegments]:
    """Segments sent and lost by layer, in the order of the layers; empty ones do not count."""
    counts: dict[int, link_pb2.LayerSegments] = {}
    for segment, payload in zip(segments, payloads, strict=True):
        if not segment.payload_bytes:
            continue
        count = counts.setdefault(segment.layer, link_pb2.LayerSegments(layer=segment.layer))
        count.sent += 1
        count.lost += payload is None
    return [counts[layer] for layer in sorted(counts)]
