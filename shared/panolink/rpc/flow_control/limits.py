"""Limits: constants of the protocol, and per-item limits of a service."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from panolink.errors import LimitError

MAX_MESSAGE_BYTES = 1 << 20
"""Maximum size of a message in bytes; gRPC rejects larger ones before parsing them."""

CHUNK_BYTES = 1 << 18
"""Payload of a chunk in bytes: small enough for streams to share a connection, large enough for low overhead."""

STALL_SECONDS = 60.0
"""Idle timeout in seconds within an item, after which its stream is aborted."""

LEAST_BYTES_PER_SECOND = 8192.0
"""Minimum transfer rate (64 kbit/s) of an item, averaged over any `STALL_SECONDS`."""

MAX_ID_LENGTH = 64
MAX_SOURCE_LENGTH = 256
MAX_DIGEST_BYTES = 32
"""of the digest of a burst's content."""

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
