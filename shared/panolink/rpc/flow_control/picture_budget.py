"""Memory that pictures take at their peak, reserved before any of it is taken."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from panolink.errors import LimitError
from panolink.rpc.flow_control.heap import return_free_memory
from panolink.rpc.flow_control.memory_budget import MemoryBudget, Reservation


@dataclass(frozen=True)
class PictureCosts:
    """Peak memory of a service while one picture is in work, over what it takes at rest: networks, tokens, entropy
    coding, symbols, the picture and its PNG file. Measured by benchmarks/services/picture_memory.py.

    Large pictures take less a pixel: networks run over them in bands of rows, and kernels over parts of their tokens.
    Bands are a row of tokens high at least, and each convolution keeps rows of the one before, as far as the picture
    has them: pictures that are wider than 2:1 take more.
    """

    per_pixel: int
    """bytes for each of the first `SMALL_PIXELS`"""
    per_further_pixel: int
    per_further_column: int = 0
    """bytes for each column beyond those of a panorama, 2:1, of as many pixels"""
    per_pixel_of_column: int = 0
    """bytes for each of the first `KEPT_ROWS` of such a column"""

    def bytes_of(self, pixels: int, *, width: int = 0) -> int:
        """Bytes of a picture of so many pixels, so many of them wide; 0: a panorama, 2:1."""
        small, further = min(pixels, SMALL_PIXELS), max(pixels - SMALL_PIXELS, 0)
        columns = max(width - math.isqrt(2 * pixels), 0)
        a_column = self.per_further_column + self.per_pixel_of_column * min(pixels // max(width, 1), KEPT_ROWS)
        return self.per_pixel * small + self.per_further_pixel * further + a_column * columns


SMALL_PIXELS = 1 << 20
KEPT_ROWS = 224
TRANSMITTER_COSTS = PictureCosts(100, 32, 10_000)
RECEIVER_COSTS = PictureCosts(80, 28, 11_000, 75)

AT_REST_BYTES = 768 << 20
"""What a service takes at rest: interpreter, libraries, a model and its warm-up, the receipts that a receiver keeps,
and what the heap holds back."""

DECODER_AT_REST_BYTES = 48 << 20
"""What a process that decodes pictures takes at rest."""

TRIM_PIXELS = 1 << 20
"""After so many pixels, what was freed is given back to the system."""


class PictureReservation:
    """Memory of one picture, held until it is released; releasing is idempotent."""

    def __init__(self, parts: Sequence[Reservation]) -> None:
        self._parts = parts

    def release(self) -> None:
        """Return it to the budget."""
        for part in self._parts:
            part.release()


class PictureBudget:
    """Memory for pictures in work, in bytes at their peak and in pixels.

    Memory that pictures have freed is given back to the system after every `TRIM_PIXELS`; after a few of different
    kinds, the heap would keep three times of what one takes.

    Parameters
    ----------
    size_bytes
        Bytes for all pictures in work.
    costs
        What one takes at its peak.
    pixels
        Most pixels in work, whatever the bytes.
    """

    def __init__(self, size_bytes: int, *, costs: PictureCosts, pixels: int) -> None:
        self._costs = costs
        self.bytes, self.pixels = MemoryBudget(size_bytes), _TrimmedBudget(pixels)

    async def reserve(self, pixels: int, *, width: int = 0) -> PictureReservation:
        """Reserve what a picture takes, waiting until it is available; 0 wide: a panorama, 2:1.

        Raises
        ------
        LimitError
            For a picture that has no room even when it is alone.
        """
        need = self._costs.bytes_of(pixels, width=width)
        if need > self.bytes.size:
            raise LimitError(
                f"a picture of {_size(pixels, width)} pixels takes {need >> 20} MiB of memory here, and "
                f"{self.bytes.size >> 20} MiB are there for pictures (MAX_PICTURE_BYTES)"
            )
        held = await self.pixels.reserve(pixels)
        try:
            return PictureReservation([held, await self.bytes.reserve(need)])
        except BaseException:
            held.release()
            raise


def _size(pixels: int, width: int) -> str:
    return f"{width}×{pixels // width}" if width else str(pixels)


class _TrimmedBudget(MemoryBudget):
    """A budget of pixels, which gives memory back to the system when enough of them have been released."""

    _freed = 0

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
