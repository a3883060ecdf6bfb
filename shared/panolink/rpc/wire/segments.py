"""Segment formats: conversion between the types of `panolink.phy` and protocol messages."""

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
"""Protocol numbers of the codec's layers, by name."""

LAYER_NAMES = {number: name for name, number in LAYERS.items()}
"""Names of the codec's layers, by protocol number."""


def segments_of(
    slices: Sequence[tuple[str, bytes]],
    formats: Sequence[SegmentFormat] | None = None,
    unsent: Collection[int] = (),
) -> tuple[list[link_pb2.SegmentFormat], list[SegmentFormat]]:
    """Segments of a packet's slices, for the protocol and for the modulator.

    Every slice has a segment in the burst's header. Empty and unsent slices occupy no symbols, and so have no format.

    Parameters
    ----------
    slices
        Layer and payload of each slice.
    formats
        Formats of the non-empty slices that are sent, in order; None: the default unequal error protection.
    unsent
        Positions of the slices that are not sent.

    Returns
    -------
    segments : list of link_pb2.SegmentFormat
        One per slice.
    formats : list of SegmentFormat
        One per non-empty slice that is sent.
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
    """Count segments by layer and scheme, in order of first appearance."""
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
    """Name of a scheme: `qpsk 1/2`, or `analogue`; raises as `scheme_from_wire`."""
    if scheme.modulation == link_pb2.MODULATION_ANALOGUE:
        return "analogue"
    return str(scheme_from_wire(scheme.modulation, scheme.code_rate))


def scheme_from_wire(modulation: link_pb2.Modulation, code_rate: float) -> Scheme:
    """Convert a modulation and code rate.

    Raises
    ------
    SignalError
        Unknown modulation, or a code rate out of range.
    """
    if modulation not in _MODULATIONS_BACK:
        raise SignalError(f"unknown modulation number {modulation}; allowed: 1, 2, 3")
    return Scheme(_MODULATIONS_BACK[modulation], code_rate)


def formats_from_wire(segments: Iterable[link_pb2.SegmentFormat]) -> list[SegmentFormat | AnalogueFormat]:
    """Formats for the demodulator; empty and unsent segments have none (see `payloads_from_segments`).

    Raises
    ------
    SignalError
        Unknown modulation, or an invalid code rate, length or combination of fields.
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
    """Payloads of all segments, from those of the non-empty ones; None for a segment that was lost or unsent."""
    following = iter(received)
    return [None if segment.unsent else next(following) if segment.payload_bytes else b"" for segment in segments]


def count_segments(
    segments: Sequence[link_pb2.SegmentFormat],
    payloads: Sequence[bytes | None],
    recovered: Container[int] = (),
    erased: Container[int] = (),
) -> list[link_pb2.LayerSegments]:
    """Count segments by layer and outcome; empty segments do not count.

    Parameters
    ----------
    segments, payloads
        Segments, and their payloads; None for a lost one (of an analogue segment: nothing arrived).
    recovered
        Positions of segments recovered by a retransmission.
    erased
        Positions of segments that were erased entirely in the first round.

    Returns
    -------
    list of link_pb2.LayerSegments
        In the order of the layers.
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
