import io
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.images import load_panorama, picture_size, read_picture
from panolink.images.orientation import upright
from tests.images.pictures import CASES, encoded

RNG = np.random.default_rng(3)
DEEP = RNG.integers(0, 65536, (32, 64, 3), dtype=np.uint16)
EXPECTED = np.rint(DEEP / 257).astype(int)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    byteorder = options.pop("byteorder", "<")
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=byteorder, bigtiff=options.pop("bigtiff", False)) as writer:
        writer.write(array, metadata=None, **options)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    "layout",
    [{}, {"tile": (16, 16)}, {"rowsperstrip": 5}, {"compression": "zlib", "predictor": True}, {"compression": "lzw"}],
    ids=["one strip", "tiles", "strips", "deflate", "lzw"],
)
def test_sixteen_bits_however_they_lie(byteorder: str, planar: str, layout: dict):
    array = DEEP if planar == "contig" else DEEP.transpose(2, 0, 1)
    data = tiff(array, photometric="rgb", planarconfig=planar, byteorder=byteorder, **layout)
    assert np.abs(load_panorama(data) - EXPECTED).max() <= 1
    assert picture_size(data) == (64, 32)


def test_a_file_of_more_than_four_gigabytes_looks_like_this():
    assert np.abs(load_panorama(tiff(DEEP, photometric="rgb", bigtiff=True)) - EXPECTED).max() <= 1


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535), (np.uint32, 2**32 - 1)])
def test_grey_with_black_or_white_as_zero(byteorder: str, dtype: type, top: int):
    ramp = np.linspace(0, 1, 64)
    stored = np.rint(np.broadcast_to(ramp, (32, 64)) * top).astype(dtype)
    for photometric, expected in (("minisblack", ramp), ("miniswhite", 1 - ramp)):
        shown = load_panorama(tiff(stored, photometric=photometric, byteorder=byteorder))
        assert np.abs(shown[5, :, 1] - 255 * expected).max() <= 1


def test_integers_of_32_bits_in_colour_and_twelve_bits_in_sixteen():
    wide = DEEP.astype(np.uint32) << 16
    assert np.abs(load_panorama(tiff(wide, photometric="rgb")) - EXPECTED).max() <= 1
    twelve = DEEP >> 4
    shown = load_panorama(tiff(twelve, photometric="rgb", extratags=[(281, "H", 3, (4095,) * 3, True)]))
    assert np.abs(shown.astype(int) - np.rint(twelve / 4095 * 255)).max() <= 256  # its range is not its depth
    scaled = load_panorama(tiff(twelve, photometric="rgb", extratags=[(341, "H", 3, (4095,) * 3, True)]))
    assert np.abs(scaled - np.rint(twelve / 4095 * 255)).max() <= 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1(dtype: type):
    shown = load_panorama(tiff((DEEP / 65535).astype(dtype), photometric="rgb"))
    assert np.abs(shown - EXPECTED).max() <= 1


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_floats_beyond_are_scaled_by_what_the_file_says_or_refused(byteorder: str):
    grey = np.linspace(0, 255, 32 * 64, dtype=np.float32).reshape(32, 64)
    with pytest.raises(ImageError, match=r"float samples from 0 to 255 .*SMaxSampleValue"):
        load_panorama(tiff(grey, byteorder=byteorder))
    range_told = [(340, "f", 1, 0.0, True), (341, "f", 1, 255.0, True)]
    shown = load_panorama(tiff(grey, byteorder=byteorder, extratags=range_told))
    assert np.abs(shown[..., 0] - grey).max() <= 0.51


def test_what_has_no_one_meaning_is_refused_with_the_reason():
    with pytest.raises(ImageError, match=r"signed 32-bit samples"):
        load_panorama(tiff(np.zeros((32, 64), np.int32)), name="a.tif")
    with pytest.raises(ImageError, match=r"a.tif: .*colours as CFA"):
        load_panorama(tiff(np.zeros((32, 64), np.uint16), photometric="cfa"), name="a.tif")
    with pytest.raises(ImageError, match="float samples from nan"):
        load_panorama(tiff(np.full((32, 64), np.nan, np.float32)))
    with pytest.raises(ImageError, match=r"a.tif: truncated or damaged"):
        load_panorama(tiff(DEEP.transpose(2, 0, 1), planarconfig="separate", photometric="rgb")[:5000], name="a.tif")


def test_alpha_is_laid_on_black_at_16_bits_too():
    alpha = np.where(np.arange(64) < 32, 0, 65535).astype(np.uint16)
    rgba = np.dstack([DEEP, np.broadcast_to(alpha, (32, 64))])
    shown = load_panorama(tiff(rgba, photometric="rgb", extrasamples=["unassalpha"]))
    assert not shown[:, :32].any() and np.abs(shown[:, 32:] - EXPECTED[:, 32:]).max() <= 1


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_thumbnail_in_front_is_not_the_picture(deep: bool, byteorder: str):
    picture = DEEP if deep else EXPECTED.astype(np.uint8)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=byteorder) as writer:
        writer.write(np.zeros((8, 16, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)
        writer.write(picture, photometric="rgb", metadata=None)
    found = read_picture(buffer.getvalue())
    assert np.abs(found.array - EXPECTED).max() <= 1


def test_the_largest_page_below_a_thumbnail():
    """As cameras write it: the picture is a page below the first one (SubIFD)."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.zeros((8, 16, 3), np.uint8), photometric="rgb", subifds=1, subfiletype=1, metadata=None)
        writer.write(DEEP, photometric="rgb", metadata=None)
    assert np.abs(load_panorama(buffer.getvalue()) - EXPECTED).max() <= 1


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "16 bits"])
def test_of_several_pages_the_first_with_a_word_on_the_rest(deep: bool):
    picture = DEEP if deep else EXPECTED.astype(np.uint8)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in (picture, 0 * picture, 0 * picture):
            writer.write(page, photometric="rgb", metadata=None)
    found = read_picture(buffer.getvalue())
    assert np.abs(found.array - EXPECTED).max() <= 1
    assert found.notes == ("page 1 of 3 was taken, the others left out",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_at_16_bits(orientation: int):
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    stored = np.ascontiguousarray(undo[orientation](DEEP)).transpose(2, 0, 1)
    data = tiff(stored, photometric="rgb", planarconfig="separate", extratags=[(274, "H", 1, orientation, True)])
    assert np.abs(load_panorama(data) - EXPECTED).max() <= 1


def test_limits_hold_before_anything_is_unpacked():
    data = bytearray(tiff(DEEP.transpose(2, 0, 1), planarconfig="separate", photometric="rgb"))
    with pytest.raises(LimitError, match="64×32 pixels is more than the 2047 allowed"):
        load_panorama(bytes(data), max_pixels=2047)


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "tifffile", None)
    data = tiff(DEEP.transpose(2, 0, 1), planarconfig="separate", photometric="rgb")
    with pytest.raises(ImageError, match=r"x.tif: this TIFF needs the extra 'formats': pip install"):
        load_panorama(data, name="x.tif")
    assert load_panorama(tiff(EXPECTED.astype(np.uint8), photometric="rgb")).shape == (32, 64, 3)


def test_what_people_sent_in():
    """A panorama at 16 bits with planes apart, as from its interleaved twin; and greys from 0 to 255 in floats."""
    scene = load_panorama(CASES / "theta.jpg")
    deep = scene.astype(np.uint16) * 257
    for byteorder in ("<", ">"):
        apart = tiff(np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate", byteorder=byteorder)
        assert np.array_equal(load_panorama(apart), scene)
        assert np.array_equal(load_panorama(tiff(deep, photometric="rgb", byteorder=byteorder)), scene)
    grey = scene.mean(2).astype(np.float32)
    with pytest.raises(ImageError, match=r"float samples from \S+ to \S+ that does not say which is white"):
        load_panorama(tiff(grey))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_large_file_of_the_other_byte_order(dtype: type):
    """Pillow misreads its header."""
    stored = EXPECTED.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    data = tiff(stored, photometric="rgb", bigtiff=True, byteorder=">")
    assert np.abs(load_panorama(data) - EXPECTED).max() <= 1


@pytest.mark.parametrize("compression", ["webp", "jpegxl", "jpeg2000", "lerc", "png", "zstd", "lzma"])
def test_compressions_that_libtiff_may_not_know(compression: str):
    stored = EXPECTED.astype(np.uint8)
    data = tiff(stored, photometric="rgb", compression=compression)
    shown = load_panorama(data).astype(int)
    assert np.abs(shown - EXPECTED).max() <= (0 if compression != "webp" else 1)


def test_a_compression_that_is_refused():
    data = tiff(EXPECTED.astype(np.uint8), photometric="rgb", compression="jpegxr")
    with pytest.raises(ImageError, match=r"a.tif: .*JPEG XR; save it with LZW or deflate"):
        load_panorama(data, name="a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_at_8_bits(orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = EXPECTED.astype(np.uint8)
    back = {6: 8, 8: 6}.get(orientation, orientation)  # every other turn is its own inverse
    data = encoded(upright(picture, back), "TIFF", exif=exif)
    assert np.array_equal(load_panorama(data), picture) and picture_size(data) == (64, 32)


def test_a_damaged_profile_is_told():
    for bits in (8, 16):
        array = DEEP if bits == 16 else EXPECTED.astype(np.uint8)
        picture = read_picture(tiff(array, photometric="rgb", iccprofile=bytes(50)))
        assert "colour profile is damaged" in picture.notes[0] and np.abs(picture.array - EXPECTED).max() <= 1
