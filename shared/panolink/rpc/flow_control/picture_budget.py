"""Memory that pictures take at their peak, reserved before any of it is taken."""

from __future__ import annotations

import os
from pathlib import Path

from panolink.errors import LimitError
from panolink.rpc.flow_control.memory_budget import MemoryBudget, Reservation

TRANSMITTER_BYTES_PER_PIXEL = 100
RECEIVER_BYTES_PER_PIXEL = 64
"""Peak memory of a service while one picture is in work, over what it takes at rest, per pixel of the picture:
networks, tokens, entropy coding, the picture and its PNG file. Measured by benchmarks/services/picture_memory.py."""

AT_REST_BYTES = 768 << 20
"""What a service takes at rest: interpreter, libraries, a model and its warm-up."""

_CGROUP = Path("/sys/fs/cgroup/memory.max")


class PictureBudget(MemoryBudget):
    """A `MemoryBudget` in pixels, for a number of bytes at a known number of bytes per pixel.

    Parameters
    ----------
    size_bytes
        Bytes for all pictures in work.
    bytes_per_pixel
        What one takes at its peak.
    pixels
        Most pixels in work, whatever the bytes.
    """

    def __init__(self, size_bytes: int, *, bytes_per_pixel: int, pixels: int) -> None:
        self._bytes_per_pixel = bytes_per_pixel
        self._largest = size_bytes // bytes_per_pixel
        super().__init__(max(1, min(pixels, self._largest)))

    async def reserve(self, amount: int) -> Reservation:
        """As `MemoryBudget.reserve`; `LimitError` for a picture that has no room even when it is alone."""
        if amount > self._largest:
            need, have = ((self._bytes_per_pixel * count) >> 20 for count in (amount, self._largest))
            raise LimitError(
                f"a picture of {amount} pixels takes {need} MiB of memory here, and {have} MiB are there for pictures "
                "(MAX_PICTURE_BYTES)"
            )
        return await super().reserve(amount)


def picture_bytes(setting: int | None, *, other_bytes: int) -> int:
    """Bytes for pictures: as set, or what the memory of this container leaves.

    Parameters
    ----------
    setting
        Of the service; None: unset.
    other_bytes
        What is reserved for images or bursts in flight.
    """
    if setting is not None:
        return setting
    limit = memory_limit()
    return max(limit - other_bytes - AT_REST_BYTES, limit // 4)


def memory_limit() -> int:
    """Memory of this container in bytes, that of the machine if there is no limit."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        text = _CGROUP.read_text().strip()
    except OSError:
        return machine
    return min(machine, int(text)) if text.isdigit() else machine
