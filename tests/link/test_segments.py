from panolink.link.segments import Segment, SegmentCounts, count_segments
from panolink.phy import Scheme, SegmentFormat

ONE_BYTE = SegmentFormat(1, Scheme("qpsk", 1 / 3))  # type: ignore[arg-type]


def test_segments_are_counted_by_layer_in_the_order_of_the_layers() -> None:
    segments = [Segment("features", ONE_BYTE), Segment("header", ONE_BYTE), Segment("features", ONE_BYTE)]
    counts = count_segments(segments, [None, b"h", b"f"])
    assert counts == {"header": SegmentCounts(sent=1), "features": SegmentCounts(sent=2, lost=1)}
    assert list(counts) == ["header", "features"]


def test_empty_segments_do_not_count() -> None:
    assert count_segments([Segment("header", ONE_BYTE), Segment("features")], [b"h", b""]) == {
        "header": SegmentCounts(sent=1)
    }


def test_what_was_never_sent_is_not_lost() -> None:
    segments = [Segment("indices", ONE_BYTE), Segment("indices", unsent=True), Segment("indices", ONE_BYTE)]
    assert count_segments(segments, [None, None, b"k"]) == {"indices": SegmentCounts(sent=2, lost=1, unsent=1)}


def test_recovered_and_erased_segments_are_given_by_their_places() -> None:
    segments = [Segment("indices", ONE_BYTE)] * 3
    counts = count_segments(segments, [b"i", b"j", None], recovered={1}, erased={1, 2})
    assert counts == {"indices": SegmentCounts(sent=3, lost=1, recovered=1, erased=2)}
