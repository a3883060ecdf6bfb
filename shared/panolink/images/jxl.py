"""JPEG XL: its size, orientation and metadata, which its decoder does not tell, or only after all of it is decoded."""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from panolink.errors import ImageError
from panolink.images.colour import to_rgb8
from panolink.images.formats import Opened, decoder_package
from panolink.images.mp4_boxes import top_boxes
from panolink.images.orientation import TURNED, upright

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_MAX_METADATA = 1 << 20  # bytes of XMP or EXIF when unpacked


def open_jxl(file: BinaryIO) -> Opened:
    """A JPEG XL picture: its first frame, with GPano and EXIF where its container has them.

    Raises
    ------
    ImageError
        No codestream.
    """
    data = file.read()
    width, height, orientation = _shape(data)
    metadata = _metadata(data)

    def decode() -> NDArray[np.uint8]:
        decoder_package("pillow_jxl", "JPEG XL")
        with Image.open(io.BytesIO(data), formats=("JXL",)) as image:
            rgb = to_rgb8(image)
            # One that was made of a JPEG file comes as that file, which lies as it was stored.
            rgb = upright(rgb, orientation) if getattr(image, "jpeg", False) else rgb
        if rgb.shape[:2] != (height, width):
            raise ImageError(f"JPEG XL of {rgb.shape[1]}×{rgb.shape[0]} where its header says {width}×{height}")
        return rgb

    exif = metadata.get(b"Exif", b"")
    if exif and not exif.startswith(_TIFF_STARTS):
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    return Opened(width, height, decode, metadata.get(b"xml ", b""), exif)


def jxl_size(data: bytes) -> tuple[int, int]:
    """Width and height, as shown, from the header of a codestream, bare or in its container.

    Raises
    ------
    ImageError
        No codestream.
    """
    return _shape(data)[:2]


def _shape(data: bytes) -> tuple[int, int, int]:
    """Width and height, as shown, and the orientation (ISO/IEC 18181-1, D.2 and D.3)."""
    stream = data if data[:2] == b"\xff\x0a" else _codestream(data)
    if stream[:2] != b"\xff\x0a":
        raise ImageError("truncated or damaged JPEG XL (no codestream)")
    bits = _Bits(stream[2:18])
    small = bits.take(1)
    height = _side(bits, small)
    if ratio := bits.take(3):
        over, under = _RATIOS[ratio - 1]
        width = height * over // under
    else:
        width = _side(bits, small)
    all_default = bits.take(1)
    orientation = 1 + bits.take(3) if not all_default and bits.take(1) else 1
    return (height, width, orientation) if orientation in TURNED else (width, height, orientation)


def _side(bits: _Bits, small: int) -> int:
    if small:
        return 8 * (bits.take(5) + 1)
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


def _codestream(data: bytes) -> bytes:
    for at, _, kind in top_boxes(io.BytesIO(data)):
        if kind in (b"jxlc", b"jxlp"):
            begin = at + _header_bytes(data, at) + (4 if kind == b"jxlp" else 0)
            return data[begin : begin + 18]
    return b""


def _metadata(data: bytes) -> dict[bytes, bytes]:
    """The first `xml ` and `Exif` box of a container, compressed by Brotli (`brob`) or not."""
    found: dict[bytes, bytes] = {}
    if data[:2] == b"\xff\x0a":
        return found
    for at, size, kind in top_boxes(io.BytesIO(data)):
        content = data[at + _header_bytes(data, at) : at + size]
        if kind == b"brob" and content[:4] in (b"xml ", b"Exif"):
            kind, content = content[:4], _unpacked(content[4:])
        if kind in (b"xml ", b"Exif"):
            found.setdefault(kind, content)
    return found


def _header_bytes(data: bytes, at: int) -> int:
    return 16 if data[at : at + 4] == b"\0\0\0\x01" else 8


def _unpacked(packed: bytes) -> bytes:
    """Empty where it is damaged, or larger than metadata are."""
    try:
        return bytes(decoder_package("imagecodecs", "JPEG XL").brotli_decode(packed, out=_MAX_METADATA))
    except (RuntimeError, ValueError):
        return b""


class _Bits:
    """Bits of bytes, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken
