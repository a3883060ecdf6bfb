import pytest

from panolink.errors import SignalError
from panolink.rpc.segments import count_segments, formats_from_wire, payloads_from_segments, segments_of
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


def test_an_unknown_modulation_is_refused() -> None:
    with pytest.raises(SignalError, match="unknown modulation number 99"):
        formats_from_wire([link_pb2.SegmentFormat(payload_bytes=1, modulation=99, code_rate=0.5)])  # type: ignore[arg-type]
