"""TIFF, where Pillow is wrong or lost: planes apart, more than 8 bits, floats, white as zero, several pages.

Everything else is left to Pillow, once the page that is the picture has been found.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from panolink.errors import ImageError
from panolink.images.colour import convert_profile, notes_on_profile
from panolink.images.formats import Opened, decoder_package
from panolink.images.orientation import TURNED, upright

PILLOW_COMPRESSIONS = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000))
"""Those that Pillow unpacks wherever it is installed: none, CCITT, LZW, JPEG, deflate, PackBits, LZMA, Zstandard."""

_JPEG_XR = (22610, 34934)  # whose only decoder is no longer kept
_MAX_PAGES = 1000
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4}
_SUBFILE, _ORIENTATION, _EXTRA, _MINIMUM, _MAXIMUM, _ICC, _XMP = 254, 274, 338, 340, 341, 34675, 700


def open_tiff(file: BinaryIO, max_pixels: int) -> Opened | int:
    """The picture of a TIFF file; or the number of its page, from 0, where Pillow reads that one well.

    Thumbnails and masks are no pictures: of the others, the first of the largest ones is taken.

    Raises
    ------
    ImageError
        Not a TIFF, or of a kind that has no one meaning (signed or float samples without a range,
        raw sensors).
    """
    tifffile = decoder_package("tifffile", "this TIFF")
    try:
        tiff = tifffile.TiffFile(file)
        pages = _pages(tiff)
    except (tifffile.TiffFileError, ValueError, TypeError, KeyError) as error:
        raise ImageError(f"truncated or damaged TIFF ({error})") from None
    shown = [page for page, _ in pages if not _reduced(page)] or [page for page, _ in pages]
    if not shown:
        raise ImageError("a TIFF without a picture")
    page = max(shown, key=lambda page: page.imagewidth * page.imagelength)
    number = next((number for candidate, number in pages if candidate is page), None)
    notes = (f"page {_place(page, shown)} of {len(shown)} was taken, the others left out",) if len(shown) > 1 else ()
    if number is not None and _plain(page) and not (tiff.is_bigtiff and tiff.byteorder == ">"):
        return number
    notes += notes_on_profile(_value(page, _ICC, None))
    _check(page, max_pixels)
    width, height = page.imagewidth, page.imagelength
    orientation = int(_value(page, _ORIENTATION, 1))

    def decode() -> NDArray[np.uint8]:
        if page.compression not in (1, 32773):
            decoder_package("imagecodecs", "this TIFF")
        return upright(_to_rgb8(page), orientation)

    size = (height, width) if orientation in TURNED else (width, height)
    return Opened(*size, decode, xmp=_value(page, _XMP, b""), notes=notes)


def _pages(tiff: Any) -> list[tuple[Any, int | None]]:
    """All pages with their numbers, and those below them, which have none."""
    found: list[tuple[Any, int | None]] = []
    for number, page in enumerate(tiff.pages):
        if number == _MAX_PAGES:
            break
        page = page.aspage()
        found.append((page, number))
        found += [(below.aspage(), None) for below in page.pages or ()]
    return found


def _reduced(page: Any) -> bool:
    """Whether a page is a thumbnail or a mask of another one."""
    return bool(int(_value(page, _SUBFILE, 0)) & 0b101)


def _place(page: Any, pages: list[Any]) -> int:
    return 1 + next(place for place, other in enumerate(pages) if other is page)


def _plain(page: Any) -> bool:
    """Whether Pillow reads a page well."""
    simple = _bits(page) <= 8 and page.planarconfig == 1 and page.sampleformat == 1
    return simple and int(page.compression) in PILLOW_COMPRESSIONS


def _bits(page: Any) -> int:
    bits = page.bitspersample
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _check(page: Any, max_pixels: int) -> None:
    """Refuse what has no one meaning, before anything is unpacked."""
    if page.dtype is None or page.imagedepth != 1:
        raise ImageError("a TIFF whose samples are of no known kind, or which has depth")
    tile = (page.tilewidth or 1) * (page.tilelength or 1) if page.is_tiled else 0
    if tile > max_pixels or page.samplesperpixel > 8:
        raise ImageError(f"a TIFF with {page.samplesperpixel} samples a pixel and tiles of {tile} pixels is refused")
    if int(page.compression) in _JPEG_XR:
        raise ImageError("a TIFF compressed as JPEG XR; save it with LZW or deflate")
    if int(page.photometric) not in _COLOURS:
        kind = getattr(page.photometric, "name", page.photometric)
        raise ImageError(f"a TIFF of {_bits(page)} bits with colours as {kind}; save it as RGB")
    if page.dtype.kind == "c" or (page.dtype.kind == "i" and _range(page) is None):
        raise ImageError(
            f"a TIFF of signed {_bits(page)}-bit samples that does not say which is black and which white "
            "(SMinSampleValue, SMaxSampleValue); save it as unsigned integers"
        )


def _range(page: Any) -> tuple[float, float] | None:
    """Black and white as the file says."""
    low, high = _value(page, _MINIMUM, None), _value(page, _MAXIMUM, None)
    if high is None:
        return None
    low, high = (float(np.min(low)) if low is not None else 0.0), float(np.max(high))
    return (low, high) if high > low else None


def _to_rgb8(page: Any) -> NDArray[np.uint8]:
    array = page.asarray()
    samples = np.moveaxis(array, 0, -1) if page.axes.startswith("S") else array
    samples = samples if samples.ndim == 3 else samples[..., None]
    colours = _COLOURS[int(page.photometric)]
    if samples.shape[2] < colours:
        raise ImageError(f"a TIFF with {samples.shape[2]} samples a pixel where its colours need {colours}")
    levels = _to_8_bits(samples[..., :colours], page)
    if page.photometric == _WHITE_IS_ZERO:
        levels = 255 - levels
    image = Image.fromarray(levels[..., 0] if colours == 1 else levels, {1: "L", 3: "RGB", 4: "CMYK"}[colours])
    rgb = np.asarray(convert_profile(image, _value(page, _ICC, None)).convert("RGB"))
    extra = np.atleast_1d(_value(page, _EXTRA, 0))
    if samples.shape[2] > colours and int(extra[0]) == 2:  # alpha that is not yet multiplied
        alpha = _to_8_bits(samples[..., colours : colours + 1], page)
        rgb = np.rint(rgb * (alpha / np.float32(255))).astype(np.uint8)
    return np.ascontiguousarray(rgb)


def _to_8_bits(samples: NDArray[Any], page: Any) -> NDArray[np.uint8]:
    """Scaled by what the file says of its range, or by what its kind of samples can hold."""
    if known := _range(page):
        low, high = known
    elif samples.dtype.kind == "f":
        low, high = 0.0, 1.0
        found = float(np.min(samples)), float(np.max(samples))
        if not (found[0] >= -0.01 and found[1] <= 1.01):  # nor where any is not a number
            raise ImageError(
                f"a TIFF of float samples from {found[0]:g} to {found[1]:g} that does not say which is white "
                "(SMaxSampleValue); scale them to 0…1"
            )
    else:
        low, high = 0.0, float((1 << _bits(page)) - 1)
    if samples.dtype == np.uint8 and (low, high) == (0, 255):
        return np.ascontiguousarray(samples)
    out = np.empty(samples.shape, np.uint8)
    for row in range(0, len(samples), 256):  # a few rows at a time, for the floats take room
        part = (samples[row : row + 256].astype(np.float64) - low) * (255 / (high - low))
        out[row : row + 256] = np.rint(np.nan_to_num(part).clip(0, 255))
    return out


def _value(page: Any, code: int, default: Any) -> Any:
    tag = page.tags.get(code)
    return default if tag is None or tag.value is None else tag.value
