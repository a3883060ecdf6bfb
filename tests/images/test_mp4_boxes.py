"""Boxes of MP4 files: whole ones, and those of strangers."""

import io
import struct
from pathlib import Path

import pytest

from panolink.errors import ImageError
from panolink.images.mp4_boxes import UUID_V1, box, boxes, last_box, spherical_xml, top_boxes

XML = b"<rdf:SphericalVideo>\xc3\xa9</rdf:SphericalVideo>"


def test_boxes_come_apart_as_they_were_put_together():
    inner = [(b"trak", b"one"), (b"uuid", UUID_V1), (b"free", b"")]
    data = b"".join(box(*one) for one in inner)
    assert boxes(data) == inner
    with pytest.raises(ImageError, match="longer than what holds it"):
        boxes(data[:-10])


def test_sizes_of_64_bits_and_the_last_box():
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"media"
    data = box(b"ftyp", b"isom") + large + box(b"moov", b"tracks")
    assert [kind for _, _, kind in top_boxes(io.BytesIO(data))] == [b"ftyp", b"mdat", b"moov"]
    assert last_box(io.BytesIO(data)) == (len(data) - 14, box(b"moov", b"tracks"))
    for wrong in (b"", b"\0\0\0\1", data + box(b"free", b""), bytes(8) + data):
        with pytest.raises(ImageError, match="without a moov box at its end"):
            last_box(io.BytesIO(wrong))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_xml_of_version_one(order: tuple[int, int], tmp_path: Path):
    parts = (box(b"moov", box(b"trak", box(b"uuid", UUID_V1 + XML))), box(b"mdat", bytes(100)))
    (tmp_path / "a.mp4").write_bytes(box(b"ftyp", b"isom") + b"".join(parts[one] for one in order))
    assert spherical_xml(tmp_path / "a.mp4") == "<rdf:SphericalVideo>é"


@pytest.mark.parametrize("content", [b"", b"text", bytes(100), struct.pack(">I4s", 5, b"moov"), box(b"moov", b"") * 3])
def test_files_without_it(content: bytes, tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(content)
    assert spherical_xml(tmp_path / "a.mp4") == spherical_xml(tmp_path / "absent.mp4") == ""
