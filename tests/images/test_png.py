"""XMP behind the pixels of a PNG, where ExifTool writes it."""

import io
import struct
import zlib

import numpy as np
import pytest

from panolink.images import picture_size, read_picture
from panolink.images.metadata import xmp_of
from panolink.images.png import png_info
from panolink.images.sendable import sendable
from panolink.images.write import encode_png, png_chunk, png_xmp_chunk
from panolink.sphere.metadata import Crop, SphereMetadata

PNG = encode_png(np.zeros((32, 64, 3), np.uint8))
END = PNG.rindex(b"IEND") - 4
POSE = xmp_of(SphereMetadata(heading=90), width=64, height=32)


def late(*chunks: bytes) -> bytes:
    return PNG[:END] + b"".join(chunks) + PNG[END:]


def text(xmp: bytes) -> bytes:
    """XMP as a compressed chunk."""
    return png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp))


def info(data: bytes) -> dict[str, bytes]:
    file = io.BytesIO(data)
    found = png_info(file)
    assert file.tell() == 0
    return found


def test_pose_and_crop_are_read_and_sent():
    part = xmp_of(SphereMetadata(heading=90), width=128, height=64)
    part = part.replace(b'ImageWidthPixels="128"', b'ImageWidthPixels="64"')
    part = part.replace(b'ImageHeightPixels="64"', b'ImageHeightPixels="32"')
    for xmp, size, crop in ((POSE, (64, 32), None), (part, (128, 64), Crop(0, 0, 64, 32, 128, 64))):
        for data in (late(png_xmp_chunk(xmp)), sendable(late(text(xmp)), max_bytes=1 << 20, name="a")):
            assert picture_size(data) == size
            assert read_picture(data).sphere == SphereMetadata(heading=90, crop=crop)
            assert read_picture(data).array.shape == (*size[::-1], 3)


def test_where_there_is_one_in_front_too_both_ways_see_the_last():
    front = PNG[:33] + png_xmp_chunk(POSE) + PNG[33:END]
    data = front + png_xmp_chunk(xmp_of(SphereMetadata(heading=10), width=64, height=32)) + PNG[END:]
    sent = sendable(data, max_bytes=1 << 20, name="a")
    assert read_picture(data).sphere == read_picture(sent).sphere == SphereMetadata(heading=10)


def test_only_what_is_behind_is_looked_for():
    assert info(PNG) == info(PNG[:33] + png_xmp_chunk(POSE) + PNG[33:]) == info(PNG[:40]) == info(b"") == {}
    assert info(late(png_xmp_chunk(POSE))) == info(late(text(POSE))) == {"xmp": POSE}
    assert info(PNG + png_xmp_chunk(POSE)) == {}  # behind the end


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0"),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no stream"),
        png_chunk(b"iTXt", b"Comment\0\0\0\0\0GPano"),
        struct.pack(">I", 1 << 31) + b"iTXt",
    ],
)
def test_what_is_damaged_says_nothing(chunk: bytes):
    assert info(late(chunk)) == {}


def test_what_unpacks_to_much_is_cut():
    assert len(info(late(text(bytes(1 << 24))))["xmp"]) == 1 << 20


def test_of_many_only_the_last_is_unpacked(monkeypatch: pytest.MonkeyPatch):
    unpacked = []
    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda: unpacked.append(1) or real())
    assert info(late(*(text(b"number %d" % number) for number in range(50)))) == {"xmp": b"number 49"}
    assert len(unpacked) == 1
