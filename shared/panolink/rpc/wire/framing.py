"""Framing: large items as messages of at most 1 MiB.

Every stream of the protocol is a sequence of items, and every item is a `header` message followed by messages
with chunks of its parts (see `proto/panolink/v1`). `chunks` splits a part; `frames` reassembles items.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from panolink.errors import BitstreamError, LinkError, PanolinkError, StallError
from panolink.rpc.flow_control.aio import unless
from panolink.rpc.flow_control.limits import CHUNK_BYTES
from panolink.rpc.flow_control.memory_budget import MemoryBudget, Reservation

_END = object()
_STOPPED = object()


def chunks(data: bytes | bytearray | memoryview, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Split data into chunks.

    Parameters
    ----------
    data : bytes-like
    size : int
        Of each in bytes; the last may be shorter.

    Returns
    -------
    iterator of bytes
        None for empty data.
    """
    view = memoryview(data).cast("B")
    for start in range(0, len(view), size):
        yield bytes(view[start : start + size])


@dataclass(slots=True)
class Frame:
    """One item of a stream: its header with its parts, or with the error for which it was rejected."""

    header: Any
    parts: dict[str, bytearray] = field(default_factory=dict)
    error: PanolinkError | None = None
    reservation: Reservation | None = None
    """Memory reserved for its parts; to be released by the consumer of the frame."""

    def _missing(self, sizes: Mapping[str, int]) -> str:
        """Description of the first incomplete part; empty if the item is complete."""
        for name, size in sizes.items():
            if len(self.parts[name]) < size:
                return f"{len(self.parts[name])} of {size} bytes of {name}"
        return ""


async def frames(
    messages: AsyncIterable[Any],
    admit: Callable[[Any], Mapping[str, int]],
    *,
    stop: asyncio.Event | None = None,
    memory: MemoryBudget | None = None,
    stall: float | None = None,
    pace: float | None = None,
    progress: Callable[[bool], None] = lambda receiving: None,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> AsyncGenerator[Frame, None]:
    """Reassemble the items of a stream.

    A rejected, truncated or overlong item is yielded with its `error`, its remaining chunks are skipped, and the
    stream goes on. Buffers grow as chunks arrive; nothing is allocated in advance.

    Parameters
    ----------
    messages
        Messages with a `part` oneof: `header`, or a chunk of a named part.
    admit
        Returns the size in bytes of each part announced by a header, or raises a `PanolinkError` to reject the item.
    stop
        Ends the stream at the next item boundary once it is set.
    memory
        Budget from which each chunk of an item is reserved when it has arrived; waiting for it does not count against
        the timeouts, and stops the reading.
    stall
        Idle timeout in seconds within an item; None: unlimited.
    pace
        Minimum transfer rate in bytes per second, averaged over any `stall` seconds of an item: a slow sender cannot
        hold its reservation indefinitely, however much it has sent at once before.
    progress
        Called with each message, and whether more of the same item is to follow.
    waiting
        Entered while a chunk waits for memory.

    Raises
    ------
    LinkError
        `stop` was set, or an item timed out.
    BitstreamError
        A chunk without a header.
    """
    source = aiter(messages)
    frame: Frame | None = None
    sizes: Mapping[str, int] = {}
    skipping = False
    next_by: float | None = None
    clock = asyncio.get_running_loop().time
    try:
        while True:
            message = await (_first(source, stop) if frame is None else _next(source, stall, next_by))
            part: str = "" if message is _END else message.WhichOneof("part") or ""
            if message is _END or part == "header":
                if frame is not None:
                    if frame.reservation:
                        frame.reservation.settle()
                    frame.error = BitstreamError(f"ended after {frame._missing(sizes)}")
                    frame.parts = {}
                    whole, frame = frame, None
                    yield whole
                if message is _END:
                    return
                try:
                    sizes = admit(message.header)
                except PanolinkError as error:
                    skipping = True
                    yield Frame(message.header, error=error)
                    continue
                skipping = False
                parts = {name: bytearray() for name in sizes}
                frame = Frame(message.header, parts, reservation=memory.open() if memory else None)
                next_by = clock() + stall if stall and pace else None
            elif frame is None:
                if skipping:
                    continue
                raise BitstreamError(f"a chunk ({part or 'empty message'}) that belongs to no header")
            else:
                chunk = getattr(message, part) if part else b""
                if part not in sizes or len(frame.parts[part]) + len(chunk) > sizes[part]:
                    announced = sizes.get(part, 0)
                    frame.error = BitstreamError(f"more than the announced {announced} bytes of {part or 'nothing'}")
                    frame.parts = {}
                    skipping = True
                else:
                    if frame.reservation:
                        before = clock()
                        left = sum(sizes.values()) - sum(map(len, frame.parts.values())) - len(chunk)
                        with waiting():
                            await frame.reservation.grow(len(chunk), complete=not left)
                        next_by = next_by and next_by + clock() - before
                    frame.parts[part] += chunk
                    if stall and pace and next_by:
                        next_by = min(next_by + len(chunk) / pace, clock() + stall)
            complete = frame is not None and (frame.error or not frame._missing(sizes))
            progress(frame is not None and not complete)
            if frame is not None and complete:
                if frame.reservation:
                    frame.reservation.settle()
                whole, frame = frame, None
                yield whole
                del whole
    finally:
        if frame is not None and frame.reservation:
            frame.reservation.release()


async def _first(source: AsyncIterator[Any], stop: asyncio.Event | None) -> Any:
    """Next message at an item boundary, or `_END`; `LinkError` if `stop` is set first."""
    following = anext(source, _END)
    message = await (following if stop is None else unless(stop, following, _STOPPED))
    if message is _STOPPED:
        raise LinkError("the service is shutting down")
    return message


async def _next(source: AsyncIterator[Any], stall: float | None, next_by: float | None) -> Any:
    """Next message within an item, or `_END`; `StallError` after `stall` seconds, or at the time `next_by`."""
    try:
        async with asyncio.timeout_at(next_by), asyncio.timeout(stall) as next_piece:
            return await anext(source, _END)
    except TimeoutError:
        if next_piece.expired():
            raise StallError(f"the next piece of an item did not come within {stall:g} s") from None
        raise StallError("the pieces of an item come too slowly") from None
