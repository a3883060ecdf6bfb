"""Limits: constants of the protocol, per-item limits of a service, and concurrent streams."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from panolink.errors import LimitError, LinkError, PanolinkError
from panolink.rpc.flow_control.memory_budget import MemoryBudget

MAX_MESSAGE_BYTES = 1 << 20
"""Maximum size of a message in bytes; gRPC rejects larger ones before parsing them."""

CHUNK_BYTES = 1 << 18
"""Payload of a chunk in bytes: small enough for streams to share a connection, large enough for low overhead."""

STALL_SECONDS = 60.0
"""Idle timeout in seconds within an item, after which its stream is aborted."""

LEAST_BYTES_PER_SECOND = 8192.0
"""Minimum transfer rate (64 kbit/s): an item must be complete within `STALL_SECONDS` plus its size over this rate."""

MAX_ID_LENGTH = 64
MAX_SOURCE_LENGTH = 256

MAX_LATER_ROUNDS = 3
"""Maximum number of hybrid ARQ retransmission rounds."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one item of a stream, checked against its header before memory is allocated."""

    image_bytes: int = 64 << 20
    """Bytes of an image file."""
    image_pixels: int = 16384 * 8192
    """Pixels of a panorama, sent or received."""
    symbols: int = 1 << 24
    """Complex symbols of a burst."""
    segments: int = 1 << 15
    """Segments of a burst; more would not fit a header of 1 MiB."""
    segment_bytes: int = 1 << 16
    """Payload bytes of a segment."""


def check_limit(value: int, limit: int, what: str) -> None:
    """Check a value against its limit.

    Parameters
    ----------
    what
        Name of the quantity, for the message.

    Raises
    ------
    LimitError
        `value` exceeds `limit`.
    """
    if value > limit:
        raise LimitError(f"{what}: {value}, at most {limit} are allowed")


class SlotAllocator:
    """Allocates the lowest free slot number.

    Slot numbers are below the maximum number of concurrent users, so a metric labelled by slot has bounded
    cardinality, unlike one labelled by id.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def acquire(self) -> int:
        """Allocate the lowest free slot."""
        slot = next(number for number in itertools.count() if number not in self._taken)
        self._taken.add(slot)
        return slot

    def release(self, slot: int) -> None:
        """Return a slot."""
        self._taken.discard(slot)


class Streams:
    """Concurrent streams of one kind: limits their number and drains them on shutdown.

    Parameters
    ----------
    what
        Service and kind, for messages: `receiver: watch`.
    limit
        Maximum number of open streams.
    memory
        Budget shared by the items of all streams, in bytes announced by their headers; None: unlimited.

    Attributes
    ----------
    draining : asyncio.Event
        Set once the service shuts down; streams end at the next item boundary.
    """

    def __init__(self, what: str, *, limit: int, memory: MemoryBudget | None = None) -> None:
        self.memory = memory
        self._what = what
        self._limit = limit
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = asyncio.Event()

    def __len__(self) -> int:
        return self._open

    @contextmanager
    def enter(self) -> Iterator[PanolinkError | None]:
        """Count a stream for the duration of the context.

        Yields
        ------
        PanolinkError or None
            None if the stream may proceed; `LimitError` if too many streams are open, `LinkError` if the service is
            shutting down.
        """
        if self.draining.is_set():
            yield LinkError(f"{self._what}: the service is shutting down")
            return
        if self._open >= self._limit:
            yield LimitError(f"{self._what}: all {self._limit} streams are in use")
            return
        self._open += 1
        self._idle.clear()
        try:
            yield None
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def drain(self, seconds: float) -> bool:
        """Refuse new streams, signal the open ones to end, and wait for them.

        Parameters
        ----------
        seconds
            Timeout.

        Returns
        -------
        bool
            Whether all streams ended in time.
        """
        self.draining.set()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
