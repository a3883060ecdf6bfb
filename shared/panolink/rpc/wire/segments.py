"""Segment formats: conversion between the types of `panolink.phy` and protocol messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from panolink.errors import SignalError
from panolink.link.segments import GAIN_CORRECTIONS, Segment, SegmentCounts
from panolink.phy import Modulation, Scheme, SegmentFormat
from panolink.phy.analog import AnalogFormat
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


def segments_to_wire(segments: Iterable[Segment]) -> list[link_pb2.SegmentFormat]:
    """Segments for a burst's header; those without symbols too. Gain corrections are the first of the features."""
    messages = []
    for segment in segments:
        layer = LAYERS["features" if segment.layer == GAIN_CORRECTIONS else segment.layer]
        message = link_pb2.SegmentFormat(layer=layer, unsent=segment.unsent)
        if isinstance(segment.format, AnalogFormat):
            message.modulation, message.values = link_pb2.MODULATION_ANALOGUE, segment.format.values
        elif segment.format:
            scheme = segment.format.scheme
            message.payload_bytes = segment.format.payload_bytes
            message.modulation, message.code_rate = _MODULATIONS[scheme.modulation], scheme.code_rate
        messages.append(message)
    return messages


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


def formats_from_wire(segments: Iterable[link_pb2.SegmentFormat]) -> list[SegmentFormat | AnalogFormat]:
    """Formats for the demodulator; empty and unsent segments have none.

    Raises
    ------
    SignalError
        Unknown modulation, or an invalid code rate, length or combination of fields.
    """
    formats: list[SegmentFormat | AnalogFormat] = []
    schemes: dict[tuple[link_pb2.Modulation, float], Scheme] = {}
    for segment in segments:
        if segment.unsent and segment.payload_bytes:
            raise SignalError(f"a segment that was never sent has {segment.payload_bytes} bytes; allowed: 0")
        if (segment.values > 0) != (segment.modulation == link_pb2.MODULATION_ANALOGUE) or (
            segment.values and (segment.payload_bytes or segment.unsent)
        ):
            raise SignalError("analogue segments have values and no payload, all others a payload and no values")
        if segment.values:
            formats.append(AnalogFormat(segment.values))
        if not segment.payload_bytes:
            continue
        key = (segment.modulation, segment.code_rate)
        if key not in schemes:
            schemes[key] = scheme_from_wire(*key)
        formats.append(SegmentFormat(segment.payload_bytes, schemes[key]))
    return formats


def segments_from_wire(segments: Sequence[link_pb2.SegmentFormat]) -> list[Segment]:
    """Segments of a burst, by their layers; raises as `formats_from_wire`.

    Where features are analog, the first segment of their layer is a coded one: the gain corrections.
    """
    formats = iter(formats_from_wire(segments))
    analog = any(segment.values for segment in segments)
    made: list[Segment] = []
    for segment in segments:
        layer = LAYER_NAMES.get(segment.layer, "features")
        if analog and layer == "features" and not any(one.layer == GAIN_CORRECTIONS for one in made):
            layer = GAIN_CORRECTIONS
        occupied = segment.payload_bytes or segment.values
        made.append(Segment(layer, next(formats) if occupied else None, unsent=segment.unsent))
    return made


def counts_to_wire(counts: Mapping[str, SegmentCounts]) -> list[link_pb2.LayerSegments]:
    """Segment counts for a receipt, in the order of the layers; gain corrections count as features."""
    messages: dict[int, link_pb2.LayerSegments] = {}
    for layer, count in counts.items():
        number = LAYERS["features" if layer == GAIN_CORRECTIONS else layer]
        message = messages.setdefault(number, link_pb2.LayerSegments(layer=number))
        message.sent += count.sent
        message.lost += count.lost
        message.unsent += count.unsent
        message.recovered += count.recovered
        message.erased += count.erased
    return [messages[number] for number in sorted(messages)]
