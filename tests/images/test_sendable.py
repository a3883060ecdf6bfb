"""What goes over the wire: a file as it is, or the same picture without loss in a form that fits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.images import Picture, read_picture
from panolink.images.metadata import xmp_of
from panolink.images.sendable import sendable, sendable_picture
from panolink.sphere.metadata import SphereMetadata
from tests.images.pictures import encoded

NOISE = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
FLAT = np.full((64, 128, 3), 77, np.uint8)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "PPM"])
def test_files_go_as_they_are(format: str):
    data = encoded(NOISE, format)
    assert sendable(data, max_bytes=1 << 20, name="a") == data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no picture at all", "not an image that can be read"),
        (b"\0\0\0\x18ftypmp42" + bytes(12), "a video, not an image"),
        (b"", "empty"),
    ],
)
def test_what_is_no_picture_is_not_sent(data: bytes, why: str):
    with pytest.raises(ImageError, match=f"^walk.mp4: {why}"):
        sendable(data, max_bytes=1 << 20, name="walk.mp4")


@pytest.mark.parametrize("format, max_bytes", [("TIFF", 1 << 20), ("BMP", 20_000), ("TIFF", 20_000)])
def test_what_is_large_or_unknown_becomes_png(format: str, max_bytes: int):
    """As 100 MB of TIFF that are 40 MB of PNG."""
    data = encoded(FLAT, format)
    sent = sendable(data, max_bytes=max_bytes, name="a")
    assert sent.startswith(b"\x89PNG") and len(sent) <= max_bytes < max(len(data), 1 << 20) + 1
    assert np.array_equal(read_picture(sent).array, FLAT)


def test_webp_where_png_is_too_large():
    smooth = np.asarray(Image.fromarray(NOISE[:8, :16]).resize((128, 64), Image.Resampling.BICUBIC))
    png = sendable_picture(Picture(smooth), max_bytes=1 << 20, name="a")
    sent = sendable_picture(Picture(smooth, SphereMetadata(heading=90)), max_bytes=len(png) - 1, name="a")
    assert sent[8:12] == b"WEBP" and len(sent) < len(png)
    found = read_picture(sent)
    assert np.array_equal(found.array, smooth) and found.sphere.heading == 90


def test_what_fits_in_no_form_says_what_to_do(tmp_path: Path):
    with pytest.raises(LimitError, match=r"pano.tif: 128×64 pixels take .* send a smaller picture or a JPEG"):
        sendable(encoded(NOISE, "TIFF"), max_bytes=10_000, name="pano.tif")


def test_place_and_camera_do_not_go_with_an_avif():
    """Its metadata cannot be cut out: the pixels go anew, without loss, and the pose with them."""
    exif, sphere = Image.Exif(), SphereMetadata(heading=50)
    exif[0x010F] = "RICOH"
    xmp = xmp_of(sphere, width=128, height=64)
    data = encoded(NOISE, "AVIF", quality=90, exif=exif, xmp=xmp)
    sent = sendable(data, max_bytes=1 << 20, name="a")
    assert b"RICOH" in data and b"RICOH" not in sent
    found = read_picture(sent)
    assert found.sphere == sphere and not found.exif and np.array_equal(found.array, read_picture(data).array)
    plain = encoded(NOISE, "AVIF", quality=90)
    assert sendable(plain, max_bytes=1 << 20, name="a") == plain
