"""Formats of segments, between the radio's types and the wire's."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence

from panolink.errors import SignalError
from panolink.link.unequal_protection import assign_formats
from panolink.phy import Modulation, Scheme, SegmentFormat
from panolink.phy.analog import AnalogueFormat
from panolink.v1 import link_pb2, transmitter_pb2

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
    formats: Sequence[SegmentFormat] | None = None,
    unsent: Collection[int] = (),
) -> tuple[list[link_pb2.SegmentFormat], list[SegmentFormat]]:
    """The segments of a packet's slices (layer, payload), for the wire and for the radio.

    Every slice has its segment on the wire. An empty slice, or one that is left out, takes no symbols, so the radio
    knows nothing of it.

    Args:
        formats: of the slices that are sent; None: the default protection.
        unsent: places of the slices that are left out.
    """
    if formats is None:
        sent = [piece for place, piece in enumerate(slices) if place not in unsent]
        formats = assign_formats([(layer, len(payload)) for layer, payload in sent if payload])
    following = iter(formats)
    segments = []
    for place, (layer, payload) in enumerate(slices):
        if place in unsent:
            segments.append(link_pb2.SegmentFormat(layer=LAYERS[layer], unsent=True))
            continue
        segment = link_pb2.SegmentFormat(payload_bytes=len(payload), layer=LAYERS[layer])
        if payload:
            scheme = next(following).scheme
            segment.modulation, segment.code_rate = _MODULATIONS[scheme.modulation], scheme.code_rate
        segments.append(segment)
    return segments, list(formats)


def schemes_of(segments: Iterable[link_pb2.SegmentFormat]) -> list[transmitter_pb2.LayerScheme]:
    """How segments are sent: an entry for each scheme of each layer, in the order of the segments."""
    counts: dict[tuple[link_pb2.Layer, link_pb2.Modulation, float], int] = {}
    for segment in segments:
        if segment.payload_bytes or segment.values:
            key = (segment.layer, segment.modulation, segment.code_rate)
            counts[key] = counts.get(key, 0) + 1
    return [
        transmitter_pb2.LayerScheme(layer=layer, modulation=modulation, code_rate=rate, segments=count)
        for (layer, modulation, rate), count in counts.items()
    ]


def scheme_name(scheme: transmitter_pb2.LayerScheme) -> str:
    """`qpsk 1/2`, or `analogue`; `SignalError` as `scheme_from_wire`."""
    if scheme.modulation == link_pb2.MODULATION_ANALOGUE:
        return "analogue"
    return str(scheme_from_wire(scheme.modulation, scheme.code_rate))


def scheme_from_wire(modulation: link_pb2.Modulation, code_rate: float) -> Scheme:
    """The radio's scheme; `SignalError` for an unknown modulation, or a code rate that cannot be."""
    if modulation not in _MODULATIONS_BACK:
        raise SignalError(f"unknown modulation number {modulation}; allowed: 1, 2, 3")
    return Scheme(_MODULATIONS_BACK[modulation], code_rate)


def formats_from_wire(segments: Iterable[link_pb2.SegmentFormat]) -> list[SegmentFormat | AnalogueFormat]:
    """The radio's formats; `SignalError` for an unknown modulation, a code rate or a length that cannot be.

    Empty segments are left out; `payloads_from_segments` puts them back.
    """
    formats: list[SegmentFormat | AnalogueFormat] = []
    schemes: dict[tuple[link_pb2.Modulation, float], Scheme] = {}
    for segment in segments:
        if segment.unsent and segment.payload_bytes:
            raise SignalError(f"a segment that was never sent has {segment.payload_bytes} bytes; allowed: 0")
        if (segment.values > 0) != (segment.modulation == link_pb2.MODULATION_ANALOGUE) or (
            segment.values and (segment.payload_bytes or segment.unsent)
        ):
            raise SignalError("analogue segments have values and no payload, all others a payload and no values")
        if segment.values:
            formats.append(AnalogueFormat(segment.values))
        if not segment.payload_bytes:
            continue
        key = (segment.modulation, segment.code_rate)
        if key not in schemes:
            schemes[key] = scheme_from_wire(*key)
        formats.append(SegmentFormat(segment.payload_bytes, schemes[key]))
    return formats


def payloads_from_segments(
    segments: Iterable[link_pb2.SegmentFormat], received: Iterable[bytes | None]
) -> list[bytes | None]:
    """Payloads of all segments, from those that have some; None for one that was lost, or never sent."""
    following = iter(received)
    return [None if segment.unsent else next(following) if segment.payload_bytes else b"" for segment in segments]


def count_segments(
    segments: Sequence[link_pb2.SegmentFormat],
    payloads: Sequence[bytes | None],
    recovered: Container[int] = (),
    erased: Container[int] = (),
) -> list[link_pb2.LayerSegments]:
    """Segments sent, lost and never sent by layer, in the order of the layers; empty ones do not count.

    An analogue segment is lost where nothing of it arrived, and its payload is None. `recovered` are the numbers of
    segments that came with a later round, `erased` of those of which nothing arrived in the first one.
    """
    counts: dict[int, link_pb2.LayerSegments] = {}
    for number, (segment, payload) in enumerate(zip(segments, payloads, strict=True)):
        if not (segment.payload_bytes or segment.values or segment.unsent):
            continue
        count = counts.setdefault(segment.layer, link_pb2.LayerSegments(layer=segment.layer))
        if segment.unsent:
            count.unsent += 1
            continue
        count.sent += 1
        count.lost += payload is None
        count.recovered += number in recovered
        count.erased += number in erased
    return [counts[layer] for layer in sorted(counts)]
