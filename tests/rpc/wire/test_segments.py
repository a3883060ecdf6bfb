import pytest

from panolink.errors import SignalError
from panolink.link.segments import GAIN_CORRECTIONS, Segment, SegmentCounts
from panolink.phy import Scheme, SegmentFormat
from panolink.phy.analog import AnalogueFormat
from panolink.rpc.wire.segments import (
    counts_to_wire,
    formats_from_wire,
    scheme_name,
    schemes_of,
    segments_from_wire,
    segments_of,
)
from panolink.v1 import link_pb2


def test_formats_are_the_same_on_both_sides() -> None:
    slices = [("header", b"h" * 40), ("indices", b"i" * 300), ("features", b"f" * 300), ("features", b"g" * 200)]
    segments, formats = segments_of(slices)
    crossed = [link_pb2.SegmentFormat.FromString(segment.SerializeToString()) for segment in segments]
    assert formats_from_wire(crossed) == formats
    assert [form.symbols for form in formats_from_wire(crossed)] == [form.symbols for form in formats]


def crossed(segments: list[link_pb2.SegmentFormat]) -> list[link_pb2.SegmentFormat]:
    return [link_pb2.SegmentFormat.FromString(segment.SerializeToString()) for segment in segments]


def test_segments_keep_their_layers_and_empty_ones_their_places() -> None:
    scheme = Scheme("qpsk", 1 / 5)  # type: ignore[arg-type]
    slices = [("header", b"h"), ("indices", b"ij"), ("indices", b"k"), ("features", b"")]
    segments, formats = segments_of(slices, [SegmentFormat(1, scheme), SegmentFormat(1, scheme)], unsent=(1,))
    assert segments_from_wire(crossed(segments)) == [
        Segment("header", formats[0]),
        Segment("indices", unsent=True),
        Segment("indices", formats[1]),
        Segment("features"),
    ]
    assert [(one.layer, one.segments) for one in schemes_of(segments)] == [
        (link_pb2.LAYER_HEADER, 1),
        (link_pb2.LAYER_INDICES, 1),
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
    segments, formats = segments_of([("header", b"h"), ("features", b"e")])
    segments += [link_pb2.SegmentFormat(**ANALOGUE, values=5), link_pb2.SegmentFormat(layer=link_pb2.LAYER_FEATURES)]
    assert [form.symbols for form in formats_from_wire(segments)] == [*(form.symbols for form in formats), 3]
    made = segments_from_wire(segments)
    assert [segment.layer for segment in made] == ["header", GAIN_CORRECTIONS, "features", "features"]
    assert made[2].format == AnalogueFormat(5) and made[3].format is None
    assert [scheme_name(one) for one in schemes_of(segments)][-1] == "analogue"
    for wrong in ({"payload_bytes": 1, "values": 1}, {"values": 0}, {"values": 1, "unsent": True}):
        with pytest.raises(SignalError, match="analogue segments have values and no payload"):
            formats_from_wire([link_pb2.SegmentFormat(**ANALOGUE, **wrong)])  # type: ignore[arg-type]
