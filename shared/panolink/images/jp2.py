"""What a JPEG 2000 file (JP2) says beside its codestream, which Pillow passes over: its ICC profile, XMP and EXIF; and
whether a codestream says more than its pixels."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from panolink.errors import ImageError
from panolink.images.mp4_boxes import boxes, top_boxes

_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF = b"JpgTiffExif->JP2"
_ICC_METHODS = (2, 3)  # restricted, and any (ISO/IEC 15444-1, I.5.3.3, and 15444-2, M.11.7.3)
_MAX_BOX = 1 << 24  # bytes of the boxes that are looked at

_SOC, _SOT, _SOD, _EOC, _COM = 0xFF4F, 0xFF90, 0xFF93, 0xFFD9, 0xFF64
_CODING = frozenset((*range(0xFF50, 0xFF54), 0xFF55, *range(0xFF57, 0xFF5A), *range(0xFF5C, 0xFF62), 0xFF63))
"""Markers of sizes, coding, quantization, regions, progressions, lengths and registration (ISO/IEC 15444-1, table A.2,
and 15444-15)."""
_ENCODER = re.compile(rb"(?:Created by OpenJPEG version |Kakadu-v?)[\d.]{1,20}")
"""The comment that nearly every file has."""


def jp2_info(file: BinaryIO) -> dict[str, bytes]:
    """What stands in the boxes of a JP2 file, by Pillow's names: `icc_profile`, `xmp`, `exif`; the file is rewound.

    Parameters
    ----------
    file : BinaryIO
        A JP2 file, or a bare codestream, which says nothing.
    """
    found: dict[str, bytes] = {}
    file.seek(0)
    if file.read(len(_SIGNATURE)) == _SIGNATURE:
        for start, size, kind in top_boxes(file):
            if kind not in (b"jp2h", b"uuid") or size > _MAX_BOX:
                continue
            file.seek(start + 8)
            content = file.read(size - 8)
            if kind == b"jp2h":
                found |= _profile(content)
            elif content.startswith(_XMP):
                found.setdefault("xmp", content[len(_XMP) :])
            elif content.startswith(_EXIF):
                found.setdefault("exif", content[len(_EXIF) :])
    file.seek(0)
    return found


def is_plain_codestream(data: bytes) -> bool:
    """Whether a codestream has no comment but its encoder's name, no unknown marker, and nothing behind its end.

    Raises
    ------
    struct.error
        It is truncated.
    """
    (first,) = struct.unpack_from(">H", data)
    at, end_of_part = 2, 0
    while first == _SOC:
        marker, size = struct.unpack_from(">HH", data, at)
        if marker == _COM:
            if not _ENCODER.fullmatch(data, at + 6, at + 2 + size):
                return False
        elif marker == _SOT:
            (length,) = struct.unpack_from(">I", data, at + 6)
            end_of_part = at + length if length else len(data) - 2
        elif marker == _SOD:
            if end_of_part <= at:
                return False
            at = end_of_part
            if data[at : at + 2] == struct.pack(">H", _EOC):
                return at + 2 == len(data)
            continue
        elif marker not in _CODING:
            return False
        at += 2 + size
    return False


def _profile(header: bytes) -> dict[str, bytes]:
    try:
        inner = boxes(header)
    except ImageError:  # whoever decodes it says what is wrong
        return {}
    for kind, content in inner:
        if kind == b"colr" and content[:1] and content[0] in _ICC_METHODS:
            return {"icc_profile": content[3:]}
    return {}
