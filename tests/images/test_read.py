import resource
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.images import encode_png, load_panorama, picture_size, read_picture, save_image
from tests.images.pictures import PICTURE, encoded


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is large, and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_lossless_formats_come_back_exactly(format: str):
    options = {"lossless": True} if format == "WEBP" else {}
    loaded = load_panorama(encoded(PICTURE, format, **options))
    assert loaded.dtype == np.uint8 and loaded.flags.writeable
    assert np.array_equal(loaded, PICTURE)


@pytest.mark.parametrize(
    "source, reason",
    [
        (b"", "empty"),
        (b"GET / HTTP/1.1\r\n\r\n", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 16\n%%EndComments\n", "not an image"),
        (encoded(PICTURE)[:-200], "truncated"),
        (encoded(PICTURE, "JPEG")[:-200], "truncated"),
        (encoded(PICTURE[:1, :1]), "1×1"),
        (encoded(PICTURE[:, :20]), "20×16 is not 2:1"),
    ],
)
def test_pictures_that_cannot_be_used(source: bytes, reason: str):
    with pytest.raises(ImageError, match=reason) as caught:
        load_panorama(source, name="holiday.jpg")
    assert str(caught.value).startswith("holiday.jpg: ") and "\n" not in str(caught.value)


def test_two_pixels_off_are_rounding():
    assert load_panorama(encoded(PICTURE[:, :31])).shape == (16, 31, 3)


def test_any_aspect_where_the_caller_says_so():
    assert load_panorama(encoded(PICTURE[:, :20]), allow_any_aspect=True).shape == (16, 20, 3)
    with pytest.raises(ImageError, match="too small"):
        load_panorama(encoded(PICTURE[:1, :1]), allow_any_aspect=True)


def test_sizes_are_checked_before_pixels_are_decoded():
    with warnings.catch_warnings(), pytest.raises(LimitError, match="20000×10000"):
        warnings.simplefilter("error")
        load_panorama(png_header(20_000, 10_000))
    # Under the limit, and past the point where Pillow alone would warn: only the missing pixels are an error.
    with warnings.catch_warnings(), pytest.raises(ImageError, match="truncated"):
        warnings.simplefilter("error")
        load_panorama(png_header(14_000, 7_000), max_pixels=100_000_000)
    with pytest.raises(LimitError, match="32×16 pixels is more than the 511 allowed"):
        load_panorama(encoded(PICTURE), max_pixels=511)


def test_the_limit_of_pillow_is_left_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=load_panorama, args=(encoded(PICTURE),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS


def test_sixteen_bits_are_scaled_to_eight():
    deep = np.linspace(0, 65535, 32 * 16).reshape(16, 32).astype(np.uint16)
    loaded = load_panorama(encoded(Image.fromarray(deep)))
    assert loaded[0, 0].tolist() == [0, 0, 0] and loaded[-1, -1].tolist() == [255, 255, 255]
    assert np.abs(loaded[..., 0] - deep / 257).max() <= 0.5


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA"])
def test_modes_become_rgb(mode: str):
    image = Image.fromarray(PICTURE).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(load_panorama(encoded(image)), expected)


def test_cmyk():
    grey = Image.new("RGB", (32, 16), (200, 100, 50)).convert("CMYK")
    loaded = load_panorama(encoded(grey, "JPEG", quality=100)).astype(int)
    assert np.abs(loaded - [200, 100, 50]).max() <= 4


def test_alpha_is_laid_on_black():
    image = Image.new("RGBA", (32, 16), (200, 100, 50, 0))
    image.putpixel((3, 4), (200, 100, 50, 255))
    loaded = load_panorama(encoded(image))
    assert loaded[4, 3].tolist() == [200, 100, 50] and loaded.sum() == 350


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_exif_orientation_turns_the_picture_upright(orientation: int):
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(PICTURE)
    if orientation in back:
        stored = stored.transpose(back[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(load_panorama(encoded(stored, exif=exif)), PICTURE)


def test_paths(tmp_path: Path):
    save_image(PICTURE, tmp_path / "new" / "a.png")
    assert np.array_equal(load_panorama(tmp_path / "new" / "a.png"), PICTURE)
    assert np.array_equal(load_panorama(str(tmp_path / "new" / "a.png")), PICTURE)
    assert np.array_equal(load_panorama(encode_png(PICTURE)), PICTURE)
    with pytest.raises(ImageError, match="no such file"):
        load_panorama(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="a folder"):
        load_panorama(tmp_path)
    with pytest.raises(ImageError, match=r"unknown image extension '\.xyz'"):
        save_image(PICTURE, tmp_path / "a.xyz")
    with pytest.raises(ImageError, match="cannot be written"):
        save_image(PICTURE, tmp_path / "new" / "a.png" / "b.png")


@pytest.mark.slow
def test_texts_that_unpack_to_gigabytes_are_refused():
    """Pillow would unpack the text of a PNG beside its pixels, were it not told where to stop."""
    text = zlib.compress(bytes(200 << 20), 9)
    data = b"Comment\0\0" + text
    chunk = len(data).to_bytes(4, "big") + b"zTXt" + data + zlib.crc32(b"zTXt" + data).to_bytes(4, "big")
    image = encoded(PICTURE)
    end = image.index(b"IDAT") - 4
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match="truncated or damaged"):
        load_panorama(image[:end] + chunk + image[end:])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


def test_pixels_are_counted_from_the_header_alone():
    assert picture_size(png_header(2000, 1000)) == (2000, 1000)
    with pytest.raises(LimitError, match="2000×1000 pixels is more than the 1000 allowed"):
        picture_size(png_header(2000, 1000), max_pixels=1000)
    with pytest.raises(ImageError, match="not an image"):
        picture_size(b"no picture")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
@pytest.mark.filterwarnings("ignore:.*EXIF")
def test_damaged_exif_is_no_reason_to_refuse_a_picture(format: str, exif: bytes):
    assert load_panorama(encoded(PICTURE, format, exif=exif)).shape == PICTURE.shape


@pytest.mark.parametrize(
    "head, says",
    [(b"\0\0\0\x20ftypisom", "a video"), (b"\x1a\x45\xdf\xa3", "a video"), (b"PLK\x01", "a Panolink packet")],
)
def test_what_is_something_else_is_named(head: bytes, says: str, tmp_path: Path):
    (tmp_path / "a").write_bytes(head + bytes(5000))
    for source in (tmp_path / "a", head + bytes(5000)):
        with pytest.raises(ImageError, match=says):
            load_panorama(source, name="a")


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_behind_the_pixels_does_not_let_a_portrait_in(orientation: int) -> None:
    """Only all of a PNG shows it; what turns a panorama by a right angle is refused then."""
    exif = Image.Exif()
    exif[0x112] = orientation
    content = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    png = encode_png(np.zeros((64, 128, 3), np.uint8))
    end = png.rindex(b"IEND") - 4
    late = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    picture = png[:end] + late + png[end:]
    if orientation == 3:
        assert read_picture(picture).array.shape == (64, 128, 3)
    else:
        with pytest.raises(ImageError, match="behind its pixels"):
            read_picture(picture)
