"""Memory that pictures take at their peak, reserved before any of it is taken."""

from __future__ import annotations

import asyncio

from panolink.errors import LimitError
from panolink.rpc.flow_control.heap import return_free_memory
from panolink.rpc.flow_control.memory_budget import MemoryBudget, Reservation

TRANSMITTER_BYTES_PER_PIXEL = 100
RECEIVER_BYTES_PER_PIXEL = 80
"""Peak memory of a service while one picture is in work, over what it takes at rest, per pixel of the picture:
networks, tokens, entropy coding, the picture and its PNG file. Measured by benchmarks/services/picture_memory.py."""

AT_REST_BYTES = 768 << 20
"""What a service takes at rest: interpreter, libraries, a model and its warm-up, the receipts that a receiver keeps,
and what the heap holds back."""

DECODER_AT_REST_BYTES = 48 << 20
"""What a process that decodes pictures takes at rest."""

TRIM_PIXELS = 1 << 20
"""After so many pixels, what was freed is given back to the system."""


class PictureBudget(MemoryBudget):
    """A `MemoryBudget` in pixels, for a number of bytes at a known number of bytes per pixel.

    Memory that pictures have freed is given back to the system after every `TRIM_PIXELS`; after a few of different
    kinds, the heap would keep three times of what one takes.

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
        self._freed = 0
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

    def _give_back(self, amount: int, reservation: Reservation, *, settled: bool) -> None:
        super()._give_back(amount, reservation, settled=settled)
        self._freed += amount
        if self._freed >= TRIM_PIXELS:
            self._freed = 0
            asyncio.get_running_loop().run_in_executor(None, return_free_memory)


def picture_bytes(setting: int | None, *, limit: int, other_bytes: int) -> int:
    """Bytes for pictures: as set, or what the memory of this container leaves.

    Parameters
    ----------
    setting
        Of the service; None: unset.
    limit
        Memory of this container.
    other_bytes
        What is reserved for images or bursts in flight, and for other processes of the service.
    """
    if setting is not None:
        return setting
    return max(limit - other_bytes - AT_REST_BYTES, limit // 4)
