"""Sizes in headers written by hand, bit by bit; `test_formats.py` has those of a real encoder."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError
from panolink.images import read_picture
from panolink.images.jxl import jxl_size, open_jxl
from panolink.images.metadata import xmp_of
from panolink.sphere.metadata import SphereMetadata
from tests.images.pictures import CASES, PICTURE, encoded


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_picture_when_upright(orientation: int) -> None:
    default, extra = (0, 1), (1, 1)
    turned = codestream((1, 1), (15, 5), (0, 3), (31, 5), default, extra, (orientation - 1, 3))
    assert jxl_size(turned) == ((128, 256) if orientation >= 5 else (256, 128))


@pytest.mark.parametrize("orientation", [3, 6])
def test_one_that_was_made_of_a_jpeg_file_lies_as_that_shows_it(orientation: int, tmp_path: Path) -> None:
    """Its decoder gives back the file, as it was stored."""
    import pillow_jxl  # noqa: F401 (registers JPEG XL with Pillow)

    smooth = np.linspace(0, 255, 32 * 64 * 3).reshape(32, 64, 3).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(CASES / "sat_p3.png") as case:
        profile = case.info["icc_profile"]
    stored = np.rot90(smooth, 2 if orientation == 3 else 1)
    xmp = xmp_of(SphereMetadata(heading=20), width=64, height=32)
    Image.fromarray(stored).save(tmp_path / "a.jpg", quality=98, exif=exif, icc_profile=profile, xmp=xmp)
    with Image.open(tmp_path / "a.jpg") as jpeg:
        jpeg.save(tmp_path / "a.jxl", lossless_jpeg=True)
    picture, expected = read_picture(tmp_path / "a.jxl"), read_picture(tmp_path / "a.jpg")
    assert (
        np.abs(picture.array.astype(int) - expected.array).mean() < 2 < np.abs(stored[:8, :8] - smooth[:8, :8]).mean()
    )
    assert picture.sphere == SphereMetadata(heading=20) and picture.exif == expected.exif


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "brotli"])
def test_pose_and_exif(packed: bool) -> None:
    import pillow_jxl  # noqa: F401 (registers JPEG XL with Pillow)

    sphere, exif = SphereMetadata(heading=200, pitch=-10), Image.Exif()
    exif[0x010F] = "Ricoh"
    tiff = exif.tobytes().removeprefix(b"Exif\0\0")
    xmp = xmp_of(sphere, width=32, height=16)
    for prefix in (b"", b"\0\0\0\0"):  # the standard has an offset in front, which some writers leave out
        data = encoded(PICTURE, "JXL", lossless=True, xmp=xmp, exif=prefix + tiff, compress_metadata=packed)
        picture = read_picture(data)
        assert picture.sphere == sphere and picture.exif == tiff and np.array_equal(picture.array, PICTURE)


def test_metadata_that_unpack_to_gigabytes_are_left_aside() -> None:
    bomb = boxed(b"brob", b"xml " + imagecodecs.brotli_encode(bytes(4 << 20)))
    container = boxed(b"JXL ", b"\r\n\x87\n") + boxed(b"ftyp", b"jxl \0\0\0\0jxl ") + bomb + boxed(b"jxlc", SMALL)
    opened = open_jxl(io.BytesIO(container))
    assert (opened.width, opened.height, opened.xmp) == (256, 128, b"")
