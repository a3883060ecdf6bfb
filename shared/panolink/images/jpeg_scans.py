"""Scans of a JPEG file: a file of a few kilobytes can have so many that decoding it takes hours."""

from __future__ import annotations

from panolink.errors import LimitError

MAX_SCANS = 256
"""of a JPEG file. Encoders write about ten; each takes as long to decode as the whole picture, in a few bytes."""


def check_scans(data: bytes, name: str) -> None:
    """Refuse a JPEG file of more than `MAX_SCANS` scans, before any of them is decoded; other files pass.

    Raises
    ------
    LimitError
        More scans than that.
    """
    if not data.startswith(b"\xff\xd8"):
        return
    scans = data.count(b"\xff\xda")  # in a scan's own bytes, 0xFF is followed by 0x00 or a restart marker
    if scans > MAX_SCANS:
        raise LimitError(f"{name}: JPEG of {scans} scans, at most {MAX_SCANS} are allowed")
