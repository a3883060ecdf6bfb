"""The boxes of MP4 files (ISO/IEC 14496-12), and what of them says that a video is a sphere."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from panolink.errors import ImageError

UUID_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
"""Of the box that holds the XML of spherical video metadata, version 1."""
FULL_BOX = 4
"""Bytes of version and flags."""

_MAX_BOXES = 100_000  # at the top of a file: in one of nothing else, there could be millions
_MAX_MOOV = 64 << 20
_MAX_XML = 1 << 16


def top_boxes(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Start, size and kind of the first 100,000 boxes of a file; ends where the rest is none."""
    end, at = file.seek(0, os.SEEK_END), 0
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        size = size or end - at
        if size < 8:
            return
        yield at, size, kind
        at += size


def last_box(file: BinaryIO) -> tuple[int, bytes]:
    """Where `moov` is, and all of it.

    Raises
    ------
    ImageError
        There is none, or something behind it.
    """
    found = list(top_boxes(file))
    if not found or found[-1][2] != b"moov":
        raise ImageError("an MP4 file without a moov box at its end")
    file.seek(found[-1][0])
    return found[-1][0], file.read(found[-1][1])


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and contents of boxes, one after the other; `ImageError` for one that is longer than what holds it."""
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if not 8 <= size <= len(data) - at:
            raise ImageError("an MP4 file with a box that is longer than what holds it")
        found.append((kind, data[at + 8 : at + size]))
        at += size
    return found


def box(kind: bytes, content: bytes) -> bytes:
    """A box with its header."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def spherical_xml(path: str | Path) -> str:
    """The XML of spherical video metadata, version 1, in an MP4 file; empty where there is none."""
    try:
        with open(path, "rb") as file:
            for start, size, kind in top_boxes(file):
                if kind == b"moov":
                    file.seek(start)
                    _, found, rest = file.read(min(size, _MAX_MOOV)).partition(b"uuid" + UUID_V1)
                    xml = rest[:_MAX_XML].partition(b"</rdf:SphericalVideo>")[0]
                    return xml.decode("utf-8", "replace") if found else ""
    except OSError:
        pass  # whoever decodes it says why
    return ""
