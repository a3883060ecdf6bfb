"""`python -m panolink.services.transmitter.decode_worker FD MEMORY_BYTES`: decodes pictures until its pipe closes.

The other end is `panolink.services.transmitter.picture_decoder`. A request is two messages, options as JSON and the
file; the answer is JSON, followed by the pixels if there are any. A file can harm this process and no other.
"""

from __future__ import annotations

import json
import resource
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from panolink.errors import LimitError, PanolinkError
from panolink.images import count_pixels, read_picture

MAX_SCANS = 256
"""of a JPEG file. Encoders write about ten; each takes as long to decode as the whole picture, in a few bytes."""


def main() -> None:
    """Answer requests, one after the other."""
    connection, memory_bytes = Connection(int(sys.argv[1])), int(sys.argv[2])
    _limit_memory(memory_bytes)
    while True:
        try:
            options, data = json.loads(connection.recv_bytes()), connection.recv_bytes()
        except EOFError:
            return
        answer, picture = _answer(options, data, memory_bytes)
        connection.send_bytes(json.dumps(answer).encode())
        if picture is not None:
            connection.send_bytes(np.ascontiguousarray(picture).reshape(-1).data)


def _answer(options: dict[str, Any], data: bytes, memory_bytes: int) -> tuple[dict[str, Any], np.ndarray | None]:
    name, max_pixels = options["name"], options["max_pixels"]
    try:
        check_scans(data, name)
        if options["header_only"]:
            return {"pixels": count_pixels(data, name=name, max_pixels=max_pixels)}, None
        picture = read_picture(data, name=name, allow_any_aspect=options["allow_any_aspect"], max_pixels=max_pixels)
    except MemoryError:
        return _failure(LimitError(f"{name}: decoding takes more than the {memory_bytes >> 20} MiB allowed")), None
    except PanolinkError as error:
        if isinstance(error.__cause__, MemoryError):
            error = LimitError(f"{name}: decoding takes more than the {memory_bytes >> 20} MiB allowed")
        return _failure(error), None
    return {"shape": picture.array.shape, "sphere": picture.sphere.to_bytes().hex()}, picture.array


def _failure(error: PanolinkError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)}


def check_scans(data: bytes, name: str) -> None:
    """Refuse a JPEG file of more than `MAX_SCANS` scans, before any of them is decoded.

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


def _limit_memory(memory_bytes: int) -> None:
    """Let this process have so much more address space than it has now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # no such accounting here: the time limit remains
        return
    limit = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
