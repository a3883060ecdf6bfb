import pytest

from panolink.errors import SignalError
from panolink.phy import Scheme, SegmentFormat
from panolink.rpc.wire.segments import (
    count_segments,
    formats_from_wire,
    payloads_from_segments,
    scheme_from_wire,
    scheme_name,
    schemes_of,
    segments_of,
)
from panolink.v1 import link_pb2


def test_formats_are_the_same_on_both_sides() -> None:
    slices = [("header", b"h" * 40), ("indices", b"i" * 300), ("features", b"f" * 300), ("features", b"g" * 200)]
    segments, formats = segments_of(slices)
    crossed = [link_pb2.SegmentFormat.FromString(segment.SerializeToString()) for segment in segments]
    assert formats_from_wire(crossed) == formats
    assert [form.symbols for form in formats_from_wire(crossed)] == [form.symbols for form in formats]


def test_empty_slices_take_no_symbols_and_come_back() -> None:
    segments, formats = segments_of([("header", b"h"), ("features", b""), ("features", b"f")])
    assert len(segments) == 3
    assert len(formats) == 2
    assert payloads_from_segments(segments, [b"h", None]) == [b"h", b"", None]


def test_segments_are_counted_by_layer() -> None:
    segments, _ = segments_of([("header", b"h"), ("features", b"f"), ("features", b""), ("features", b"g")])
    header, features = count_segments(segments, [b"h", None, b"", b"g"])
    assert (header.layer, header.sent, header.lost) == (link_pb2.LAYER_HEADER, 1, 0)
    assert (features.layer, features.sent, features.lost) == (link_pb2.LAYER_FEATURES, 2, 1)


def test_what_was_never_sent_is_not_lost() -> None:
    slices = [("header", b"h"), ("indices", b"i"), ("indices", b"j"), ("indices", b"k"), ("features", b"")]
    formats = [SegmentFormat(1, Scheme("qpsk", 1 / 5)), SegmentFormat(1, Scheme("16qam", 1 / 2))]  # type: ignore[arg-type]
    segments, _ = segments_of(slices, [*formats, formats[1]], unsent=(2,))
    crossed = [link_pb2.SegmentFormat.FromString(segment.SerializeToString()) for segment in segments]
    assert formats_from_wire(crossed) == [*formats, formats[1]]
    payloads = payloads_from_segments(crossed, [b"h", None, b"k"])
    assert payloads == [b"h", None, None, b"k", b""]
    _, indices = count_segments(crossed, payloads)
    assert (indices.sent, indices.lost, indices.unsent) == (2, 1, 1)
    told = [
        (one.layer, str(scheme_from_wire(one.modulation, one.code_rate)), one.segments) for one in schemes_of(crossed)
    ]
    assert told == [(link_pb2.LAYER_HEADER, "qpsk 1/5", 1), (link_pb2.LAYER_INDICES, "16qam 1/2", 2)]
    crossed[2].payload_bytes = 1
    with pytest.raises(SignalError, match="never sent has 1 bytes"):
        formats_from_wire(crossed)


def test_an_unknown_modulation_is_refused() -> None:
    with pytest.raises(SignalError, match="unknown modulation number 99"):
        formats_from_wire([link_pb2.SegmentFormat(payload_bytes=1, modulation=99, code_rate=0.5)])  # type: ignore[arg-type]


ANALOGUE = {"layer": link_pb2.LAYER_FEATURES, "modulation": link_pb2.MODULATION_ANALOGUE}


def test_analogue_segments_have_values_and_no_payload() -> None:
    segments, formats = segments_of([("header", b"h"), ("features", b"e")])
    segments += [link_pb2.SegmentFormat(**ANALOGUE, values=5), link_pb2.SegmentFormat(layer=link_pb2.LAYER_FEATURES)]
    assert [form.symbols for form in formats_from_wire(segments)] == [*(form.symbols for form in formats), 3]
    _, features = count_segments(segments, [b"h", b"e", None, b""], recovered={1})
    assert (features.sent, features.lost, features.recovered) == (2, 1, 1)
    assert [scheme_name(one) for one in schemes_of(segments)][-1] == "analogue"
    for wrong in ({"payload_bytes": 1, "values": 1}, {"values": 0}, {"values": 1, "unsent": True}):
        with pytest.raises(SignalError, match="analogue segments have values and no payload"):
            formats_from_wire([link_pb2.SegmentFormat(**ANALOGUE, **wrong)])  # type: ignore[arg-type]
