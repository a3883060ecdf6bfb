"""What a PNG says behind its pixels, which Pillow comes to only once it has decoded them: its XMP."""

from __future__ import annotations

import os
import struct
import zlib
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp\0"
"""with which an iTXt chunk of XMP begins"""

_MAX_CHUNKS = 1 << 18  # 2 GiB of the 8 KiB that encoders commonly put into one
_MAX_XMP = 1 << 20  # bytes, as Pillow takes them


def png_info(file: BinaryIO) -> dict[str, bytes]:
    """What stands behind the pixels of a PNG, by Pillow's names: `xmp`, the last one; the file is rewound.

    Nothing is decoded, and of what is not metadata only lengths are read.
    """
    at, behind, last = len(SIGNATURE), False, b""
    end = file.seek(0, os.SEEK_END)
    for _ in range(_MAX_CHUNKS):
        if at + 12 > end:
            break
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IEND":
            break
        if kind == b"iTXt" and behind and size <= _MAX_XMP:
            content = file.read(size)
            last = content if content.startswith(XMP_KEYWORD) else last
        behind = behind or kind == b"IDAT"
        at += 12 + size
    file.seek(0)
    xmp = _xmp(last)  # of many, only one is unpacked
    return {"xmp": xmp} if xmp else {}


def _xmp(content: bytes) -> bytes:
    """Of an iTXt chunk: keyword, flag and method of compression, language, translated keyword, and text."""
    language = content[len(XMP_KEYWORD) + 2 :]
    if not content.startswith(XMP_KEYWORD) or language.count(b"\0") < 2:
        return b""
    text = language.split(b"\0", 2)[2]
    if not content[len(XMP_KEYWORD)]:
        return text
    try:
        return zlib.decompressobj().decompress(text, _MAX_XMP)
    except zlib.error:
        return b""
