import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.images import load_panorama, picture_size, read_picture
from panolink.images.formats import format_of, is_video
from panolink.images.jxl import jxl_size
from tests.images.pictures import PICTURE, encoded, write_video

SMOOTH = np.linspace(0, 255, 64 * 128 * 3).reshape(64, 128, 3).astype(np.uint8)


def heic(picture: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(picture)).save(buffer, quality=95, **options)
    return buffer.getvalue()


def jxl(picture: np.ndarray, **options: object) -> bytes:
    import pillow_jxl  # noqa: F401 (registers JPEG XL with Pillow)

    return encoded(picture, "JXL", lossless=True, **options)


def test_formats_by_their_first_bytes():
    for format in ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"):
        assert format_of(encoded(PICTURE, format)[:64]) == format
    assert format_of(heic(SMOOTH)[:64]) == "HEIF" and format_of(jxl(PICTURE)[:64]) == "JXL"
    assert format_of(b"") == "" and format_of(b"%!PS-Adobe-3.0 EPSF-3.0") == ""


def test_heic_from_phones():
    assert np.abs(load_panorama(heic(SMOOTH)).astype(int) - SMOOTH).mean() < 4
    grey = heic(np.repeat(SMOOTH[..., :1], 3, axis=2))
    assert load_panorama(grey).shape == (64, 128, 3)
    with pytest.raises(LimitError, match="128×64 pixels"):
        load_panorama(heic(SMOOTH), max_pixels=100)


def test_heic_is_turned_upright_once():
    stored = np.ascontiguousarray(np.rot90(SMOOTH))
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = load_panorama(heic(stored, exif=exif.tobytes()))
    assert shown.shape == (64, 128, 3) and np.abs(shown.astype(int) - SMOOTH).mean() < 4


@pytest.mark.slow
@pytest.mark.parametrize("width, height", [(32, 16), (256, 128), (300, 150), (512, 255), (1100, 550)])
def test_jpeg_xl(width: int, height: int):
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = jxl(picture)
    assert jxl_size(data) == (width, height)
    assert np.array_equal(load_panorama(data), picture)
    assert picture_size(data) == (width, height)


def test_jpeg_xl_in_a_container_and_at_the_limit():
    picture = jxl(PICTURE, exif=Image.Exif().tobytes())
    with pytest.raises(LimitError, match="32×16 pixels"):
        load_panorama(picture, max_pixels=100)
    with pytest.raises(ImageError, match=r"a.jxl: truncated or damaged"):
        load_panorama(jxl(PICTURE)[:40], name="a.jxl")


def test_jpeg_2000():
    data = encoded(PICTURE, "JPEG2000", irreversible=False)
    assert np.array_equal(load_panorama(data), PICTURE)
    grey = np.linspace(0, 65535, 32 * 16).reshape(16, 32).astype(np.uint16)
    shown = load_panorama(encoded(Image.fromarray(grey), "JPEG2000", irreversible=False))
    assert np.abs(shown[..., 0] - grey / 257).max() <= 1


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_with_a_word_on_the_rest(format: str):
    frames = [Image.new("RGB", (32, 16), (level, level, level)) for level in (10, 90, 200)]
    buffer = io.BytesIO()
    options = {"lossless": True} if format == "WEBP" else {}
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:], duration=100, **options)
    picture = read_picture(buffer.getvalue())
    assert np.abs(picture.array.astype(int) - 10).max() <= 1
    assert picture.notes == ("frame 1 of 3 was taken, the others left out",)


@pytest.mark.parametrize("module, make", [("pillow_heif", heic), ("pillow_jxl", jxl)])
def test_a_missing_decoder_is_named_with_the_extra(module: str, make, monkeypatch: pytest.MonkeyPatch):
    import sys

    data = make(SMOOTH)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImageError, match=r"photo: (HEIC|JPEG XL) needs the extra 'formats'"):
        load_panorama(data, name="photo")


@pytest.mark.parametrize("codec, format", [("libx264", "h264"), ("libx265", "hevc"), ("libvpx-vp9", "ivf")])
def test_raw_videos_by_their_first_bytes(codec: str, format: str, tmp_path: Path):
    write_video(tmp_path / "a", codec=codec, format=format)
    head = (tmp_path / "a").read_bytes()
    assert is_video(head) and format_of(head) == ""
    if format != "ivf":
        assert is_video(head[1:]) == head.startswith(b"\0\0\0\1")  # with a start code of three bytes, too


@pytest.mark.parametrize("head", [b"\0\0\0\1", b"\0\0\1", b"\0\0\0\1\xff\xff", b"\0\0\1\0\0\0", bytes(100)])
def test_what_is_no_raw_video(head: bytes):
    assert not is_video(head)
