"""Sizes in headers written by hand, bit by bit; `test_formats.py` has those of a real encoder."""

import pytest

from panolink.errors import ImageError
from panolink.images.jxl import jxl_size


def codestream(*fields: tuple[int, int]) -> bytes:
    """A codestream whose header is (value, bits) fields, the lowest bit first."""
    number = place = 0
    for value, bits in fields:
        number |= value << place
        place += bits
    return b"\xff\x0a" + number.to_bytes(18, "little")


def boxed(kind: bytes, payload: bytes, *, extended: bool = False) -> bytes:
    if extended:
        return b"\0\0\0\1" + kind + (16 + len(payload)).to_bytes(8, "big") + payload
    return (8 + len(payload)).to_bytes(4, "big") + kind + payload


SMALL = codestream((1, 1), (15, 5), (0, 3), (31, 5))  # multiples of 8
LARGE = codestream((0, 1), (1, 2), (1099, 13), (0, 3), (3, 2), (99_999, 30))


def test_small_and_large_sides() -> None:
    assert jxl_size(SMALL) == (256, 128)
    assert jxl_size(LARGE) == (100_000, 1100)


@pytest.mark.parametrize(("ratio", "width"), [(1, 128), (2, 153), (3, 170), (4, 192), (5, 227), (6, 160), (7, 256)])
def test_a_width_may_be_a_ratio_of_the_height(ratio: int, width: int) -> None:
    assert jxl_size(codestream((1, 1), (15, 5), (ratio, 3))) == (width, 128)


@pytest.mark.parametrize("extended", [False, True])
def test_a_container_holds_it_after_other_boxes(extended: bool) -> None:
    first = boxed(b"JXL ", b"\r\n\x87\n") + boxed(b"Exif", bytes(100), extended=extended)
    assert jxl_size(first + boxed(b"jxlc", SMALL)) == (256, 128)
    assert jxl_size(first + boxed(b"jxlp", b"\0\0\0\0" + LARGE)) == (100_000, 1100)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", boxed(b"JXL ", b"\r\n\x87\n"), boxed(b"Exif", b"") + b"\0\0\0\2free" + bytes(20)]
)
def test_without_a_codestream_it_is_damaged(data: bytes) -> None:
    with pytest.raises(ImageError, match="truncated or damaged JPEG XL"):
        jxl_size(data)
