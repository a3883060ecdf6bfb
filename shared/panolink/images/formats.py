"""Which formats there are, how a file's first bytes tell them, and which need a package that may be missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError, LimitError

MAX_PIXELS = 16384 * 8192
MIN_SIDE = 16

# Not all that Pillow knows: EPS, for one, would start an interpreter on a stranger's bytes.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("avif", "bmp", "exr", "gif", "hdr", "heic", "heif", "hif", "insp", "j2k", "jp2", "jpeg", "jpg", "jxl"),
        *("pfm", "pgm", "png", "ppm", "tif", "tiff", "webp"),
    )
)
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("360", "avi", "h264", "h265", "hevc", "insv", "ivf", "lrv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg"),
        *("mpg", "mts", "ts", "webm"),
    )
)
MOTION_JPEG_SUFFIXES = frozenset((".mjpeg", ".mjpg"))

MOST_SIDE = {"GIF": 65535, "JPEG": 65500, "WEBP": 16383}
"""Pixels that a side of a picture in a file of a format has at most; in the others as many as can be."""

SNIFFED_BYTES = 4096  # enough for every signature, and for the boxes in front of an AVIF's or HEIC's items

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_JXL_BOX, _JP2_BOX = b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cjP  \r\n\x87\n"
_SIGNATURES: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("JXL", (b"\xff\x0a", _JXL_BOX)),
    ("HDR", (b"#?RADIANCE", b"#?RGBE", b"#?AUTOPANO")),
    ("EXR", (b"\x76\x2f\x31\x01",)),
    ("JPEG", (b"\xff\xd8\xff",)),
    ("PNG", (b"\x89PNG\r\n\x1a\n",)),
    ("JPEG2000", (_JP2_BOX, b"\xff\x4f\xff\x51")),
    ("GIF", (b"GIF87a", b"GIF89a")),
    ("BMP", (b"BM",)),
    ("PFM", (b"Pf\n", b"PF\n")),
    ("PPM", (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")),
)

_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free")
_VIDEO_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG-1 and -2 video
    b"FLV\x01",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMV
    b"YUV4MPEG2 ",
    b"DKIF\0\0",  # IVF
)
_H264_STARTS, _H265_STARTS = (7, 9), (32, 33, 35)
"""Kinds of the units that a raw stream begins with: parameter sets, delimiters (ITU-T H.264 and H.265, table 7-1)."""


@dataclass(frozen=True)
class Opened:
    """A picture whose header has been read.

    Attributes
    ----------
    width, height : int
        As shown, that is, after the orientation that the file asks for.
    decode : Callable[[], NDArray[np.uint8]]
        Gives the pixels, uint8 sRGB (height, width, 3); it may be called once, while the file is open.
    xmp, exif : bytes
        Metadata as it stands in the file; empty where there is none.
    notes : tuple[str, ...]
        What the user should be told, such as frames that are left out.
    """

    width: int
    height: int
    decode: Callable[[], NDArray[np.uint8]]
    xmp: bytes = b""
    exif: bytes = b""
    notes: tuple[str, ...] = ()


def format_of(head: bytes) -> str:
    """A picture's format by its first bytes, as Pillow spells it; empty where they are of none that is known."""
    for name, starts in _SIGNATURES:
        if head.startswith(starts):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        size = int.from_bytes(head[:4], "big")
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(size, 256), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if head[8:12] in _HEIF_BRANDS:
            return "HEIF"
    return ""


def is_video(head: bytes) -> bool:
    """Whether a file's first bytes are those of a container of videos, whatever its name is."""
    if head[4:8] in _MP4_BOXES:
        return format_of(head) == ""
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    if head.startswith(_VIDEO_STARTS) or _is_raw_stream(head):
        return True
    # MPEG transport streams: packets of 188 bytes, or of 192 with a time in front of each (.mts, .m2ts)
    for size in (188, 192):
        packets = range(size - 188, 4 * size, size)
        if len(head) > 4 * size and all(head[at] == 0x47 for at in packets):
            return True
    return False


def _is_raw_stream(head: bytes) -> bool:
    """Whether bytes begin with a unit of H.264 or H.265 behind a start code, with nothing around it."""
    unit = next((head[len(code) :] for code in (b"\0\0\0\1", b"\0\0\1") if head.startswith(code)), b"")
    if len(unit) < 2 or unit[0] & 0x80:
        return False
    h265 = (unit[0] >> 1) in _H265_STARTS and not unit[0] & 1 and unit[1] == 1  # layer 0, temporal layer 0
    return h265 or (unit[0] & 0x1F in _H264_STARTS)


def code_points(head: bytes) -> tuple[int, int]:
    """Colour primaries and transfer of a PNG (cICP), AVIF or HEIC (nclx), by ITU-T H.273; (2, 2) where not said."""
    at = head.find(b"cICP")
    if head.startswith(b"\x89PNG") and 0 < at < len(head) - 8:
        return head[at + 4], head[at + 5]
    at = head.find(b"colrnclx")
    if head[4:8] == b"ftyp" and 0 < at < len(head) - 12:
        return int.from_bytes(head[at + 8 : at + 10], "big"), int.from_bytes(head[at + 10 : at + 12], "big")
    return 2, 2


def decoder_package(module: str, what: str) -> Any:
    """A module of the extra `formats`.

    Raises
    ------
    ImageError
        It is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ImageError(f"{what} needs the extra 'formats': pip install 'panolink[formats]'") from None


def check_limit(width: int, height: int, max_pixels: int, name: str) -> None:
    """`LimitError` for more pixels than are allowed."""
    if width * height > max_pixels:
        raise LimitError(f"{name}: {width}×{height} pixels is more than the {max_pixels} allowed")
