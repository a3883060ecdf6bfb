import pytest

from panolink.errors import SignalError
from panolink.link.segments import GAIN_CORRECTIONS, Segment, SegmentCounts
from panolink.phy import Scheme, SegmentFormat
from panolink.phy.analog import AnalogFormat
from panolink.rpc.wire.segments import (
    counts_to_wire,
    formats_from_wire,
    scheme_name,
    schemes_of,
    segments_from_wire,
    segments_to_wire,
)
from panolink.v1 import link_pb2


def crossed(segments: list[link_pb2.SegmentFormat]) -> list[link_pb2.SegmentFormat]:
    return [link_pb2.SegmentFormat.FromString(segment.SerializeToString()) for segment in segments]


ROBUST, FAST = SegmentFormat(40, Scheme("qpsk", 1 / 5)), SegmentFormat(300, Scheme("16qam", 1 / 2))  # type: ignore[arg-type]


def test_segments_cross_as_they_are() -> None:
    segments = [
        Segment("header", ROBUST),
        Segment("mask"),
        Segment("indices", unsent=True),
        Segment("indices", FAST),
        Segment("features", FAST),
        Segment("features"),
    ]
    messages = crossed(segments_to_wire(segments))
    assert segments_from_wire(messages) == segments
    assert formats_from_wire(messages) == [ROBUST, FAST, FAST]
    assert [(one.layer, scheme_name(one), one.segments) for one in schemes_of(messages)] == [
        (link_pb2.LAYER_HEADER, "qpsk 1/5", 1),
        (link_pb2.LAYER_INDICES, "16qam 1/2", 1),
        (link_pb2.LAYER_FEATURES, "16qam 1/2", 1),
    ]


def test_a_segment_that_was_never_sent_has_no_bytes() -> None:
    with pytest.raises(SignalError, match="never sent has 1 bytes"):
        segments_from_wire([link_pb2.SegmentFormat(layer=link_pb2.LAYER_INDICES, unsent=True, payload_bytes=1)])


def test_counts_cross_as_they_are_and_gain_corrections_as_features() -> None:
    counts = {
        "indices": SegmentCounts(sent=3, lost=2, unsent=1, recovered=1, erased=1),
        GAIN_CORRECTIONS: SegmentCounts(sent=1, lost=1),
        "features": SegmentCounts(sent=4, lost=2),
    }
    indices, features = counts_to_wire(counts)
    assert indices == link_pb2.LayerSegments(
        layer=link_pb2.LAYER_INDICES, sent=3, lost=2, unsent=1, recovered=1, erased=1
    )
    assert features == link_pb2.LayerSegments(layer=link_pb2.LAYER_FEATURES, sent=5, lost=3)


def test_an_unknown_modulation_is_refused() -> None:
    with pytest.raises(SignalError, match="unknown modulation number 99"):
        formats_from_wire([link_pb2.SegmentFormat(payload_bytes=1, modulation=99, code_rate=0.5)])  # type: ignore[arg-type]


ANALOGUE = {"layer": link_pb2.LAYER_FEATURES, "modulation": link_pb2.MODULATION_ANALOGUE}


def test_analogue_segments_have_values_and_no_payload() -> None:
    segments = [
        Segment("header", ROBUST),
        Segment(GAIN_CORRECTIONS, ROBUST),
        Segment("features", AnalogFormat(5)),
        Segment("features"),
    ]
    messages = crossed(segments_to_wire(segments))
    assert [message.layer for message in messages[1:]] == [link_pb2.LAYER_FEATURES] * 3
    assert segments_from_wire(messages) == segments
    assert [form.symbols for form in formats_from_wire(messages)] == [ROBUST.symbols, ROBUST.symbols, 3]
    assert [scheme_name(one) for one in schemes_of(messages)][-1] == "analogue"
    for wrong in ({"payload_bytes": 1, "values": 1}, {"values": 0}, {"values": 1, "unsent": True}):
        with pytest.raises(SignalError, match="analogue segments have values and no payload"):
            formats_from_wire([link_pb2.SegmentFormat(**ANALOGUE, **wrong)])  # type: ignore[arg-type]
