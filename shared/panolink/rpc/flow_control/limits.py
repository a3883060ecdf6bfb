"""How much is allowed: constants of the protocol, and limits that a service can be given."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from panolink.errors import LimitError, LinkError, PanolinkError
from panolink.rpc.flow_control.memory_budget import MemoryBudget

MAX_MESSAGE_BYTES = 1 << 20
"""No message of the protocol is larger; gRPC refuses one that is before it is parsed."""

CHUNK_BYTES = 1 << 18
"""Payload of one chunk: small enough for streams to share a connection, large enough to cost little."""

STALL_SECONDS = 60.0
"""An item that has begun and of which nothing more comes for so long is given up, and its stream with it."""

LEAST_BYTES_PER_SECOND = 8192.0
"""An item that has begun is to be whole within `STALL_SECONDS` and what its bytes take at this pace, 64 kbit/s."""

MAX_ID_LENGTH = 64
MAX_SOURCE_LENGTH = 256

MAX_LATER_ROUNDS = 3
"""Rounds of hybrid ARQ that may follow a burst's first one."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one item of a stream may ask for. Each is checked before memory is taken."""

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
    """Raise `LimitError` ("what: value, at most limit") when `value` is over `limit`."""
    if value > limit:
        raise LimitError(f"{what}: {value}, at most {limit} are allowed")


class SlotAllocator:
    """Numbers for those who are here: the least free one each, so that no more are in use than there ever were at once.

    Whatever is told apart by slot stays bounded, as ids would not.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def acquire(self) -> int:
        """A free number, the least one."""
        slot = next(number for number in itertools.count() if number not in self._taken)
        self._taken.add(slot)
        return slot

    def release(self, slot: int) -> None:
        """The number is free again."""
        self._taken.discard(slot)


class Streams:
    """The streams of one kind that a service has open: how many there may be, and how they come to an end.

    `room` is what the items on them share, in bytes that their headers announce.
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
        """Hold a stream's place, or learn why there is none: `LimitError`, or `LinkError` when the service stops."""
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
        """Let no stream begin, ask the open ones to end, and wait for them; whether all did in time."""
        self.draining.set()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
