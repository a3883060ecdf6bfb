"""Concurrent streams of a service: how many there may be, and which one gives way when there are too many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from panolink.errors import LimitError, LinkError, PanolinkError
from panolink.rpc.flow_control.memory_budget import MemoryBudget

IDLE_GRACE_SECONDS = 0.5
"""A stream that has been without an item for less is not asked to give way to another."""

STALL_GRACE_SECONDS = 5.0
"""Likewise one that waits for the next piece of an item, or for its peer to read what was sent."""

current_stream: ContextVar[OpenStream | None] = ContextVar("current_stream", default=None)
"""The stream that the running task serves."""


class OpenStream:
    """One open stream: what it is doing, and since when.

    Parameters
    ----------
    peer
        Host of the caller; empty if unknown.

    Attributes
    ----------
    refusal : PanolinkError or None
        Why the stream may not proceed; None if it may.
    ended_for : PanolinkError or None
        Why it was ended; None if it was not.
    """

    def __init__(self, peer: str = "", refusal: PanolinkError | None = None) -> None:
        self.peer = peer
        self.refusal = refusal
        self.opened = self._last = time.monotonic()
        self._items = 0
        self._receiving = False
        self._writing = False
        self._waits_for_us = False
        self.ended_for: PanolinkError | None = None
        self._task = asyncio.current_task() if _running() else None

    def progress(self, *, receiving: bool) -> None:
        """Record a message of the peer; `receiving`: more of the same item is to follow."""
        self._last, self._receiving = time.monotonic(), receiving

    @contextmanager
    def item(self) -> Iterator[None]:
        """An item is being served for the duration of the context."""
        self._items += 1
        try:
            yield
        finally:
            self._items -= 1
            self._last = time.monotonic()

    @contextmanager
    def write(self) -> Iterator[None]:
        """A message is being written for the duration of the context."""
        self._last, self._writing = time.monotonic(), True
        try:
            yield
        finally:
            self._last, self._writing = time.monotonic(), False

    @contextmanager
    def waits_for_us(self) -> Iterator[None]:
        """It is not the peer that this stream waits for: a viewer while nothing is published, an item while there is no
        memory for its next piece."""
        self._waits_for_us = True
        try:
            yield
        finally:
            self._last, self._waits_for_us = time.monotonic(), False

    @property
    def idle_seconds(self) -> float:
        """For how long the peer has had nothing in flight; 0 while it has."""
        busy = self._items or self._receiving or self._writing or self._waits_for_us
        return 0.0 if busy else time.monotonic() - self._last

    @property
    def stalled_seconds(self) -> float:
        """For how long the peer has not sent the rest of an item, or not read what it was sent."""
        if self._waits_for_us:
            return 0.0
        return time.monotonic() - self._last if self._writing or (self._receiving and not self._items) else 0.0

    def end(self, reason: PanolinkError) -> None:
        """End the stream with this error; `CallInterceptor` turns it into the status of the call."""
        self.ended_for = reason
        if self._task:
            self._task.cancel(reason)

    @property
    def may_give_way(self) -> bool:
        """Whether the stream holds a place that it does not use."""
        return not self.ended_for and (
            self.idle_seconds >= IDLE_GRACE_SECONDS or self.stalled_seconds >= STALL_GRACE_SECONDS
        )

    @property
    def unused_seconds(self) -> float:
        """How long the place has not been used."""
        return max(self.idle_seconds, self.stalled_seconds)


class Streams:
    """Concurrent streams of one kind: limits their number and drains them on shutdown.

    Where all are in use, the one that has been idle or stalled for longest gives way to a new one: streams that send or
    read nothing keep nobody out.

    Parameters
    ----------
    what
        Service and kind, for messages: `receiver: watch`.
    limit
        Maximum number of open streams.
    peer_limit
        Maximum number of open streams of one host; None: `limit`.
    idle_seconds
        A stream without an item for so long is ended; None: never.
    memory
        Budget shared by the items of all streams, in bytes that have arrived; None: unlimited.

    Attributes
    ----------
    draining : asyncio.Event
        Set once the service shuts down; streams end at the next item boundary.
    """

    def __init__(
        self,
        what: str,
        *,
        limit: int,
        peer_limit: int | None = None,
        idle_seconds: float | None = None,
        memory: MemoryBudget | None = None,
    ) -> None:
        self.memory = memory
        self._what = what
        self._limit = limit
        self._peer_limit = peer_limit if peer_limit and peer_limit < limit else None
        self._idle_seconds = idle_seconds
        self._open: dict[OpenStream, None] = {}  # in the order in which they were opened
        self._none_open = asyncio.Event()
        self._none_open.set()
        self.draining = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def enter(self, peer: str = "") -> Iterator[OpenStream]:
        """Count a stream for the duration of the context.

        Parameters
        ----------
        peer
            Address of the caller, as gRPC writes it: `ipv4:10.0.0.7:4711`.

        Yields
        ------
        OpenStream
            Its `refusal` is `LimitError` if too many streams are in use, `LinkError` if the service is shutting down.
        """
        host = peer.rpartition(":")[0]
        if refusal := self._refusal(host):
            yield OpenStream(host, refusal)
            return
        stream = OpenStream(host)
        token = current_stream.set(stream)
        self._open[stream] = None
        self._none_open.clear()
        timer = self._watch_idle(stream)
        try:
            yield stream
        finally:
            if timer:
                timer.cancel()
            self._leave(stream)
            with suppress(ValueError):  # closed by the garbage collector, in another context
                current_stream.reset(token)

    def _refusal(self, host: str) -> PanolinkError | None:
        if self.draining.is_set():
            return LinkError(f"{self._what}: the service is shutting down")
        if self._peer_limit and host:
            of_host = [stream for stream in self._open if stream.peer == host]
            if len(of_host) >= self._peer_limit and not self._make_room(of_host):
                return LimitError(f"{self._what}: all {self._peer_limit} streams of this host are in use")
        if len(self._open) >= self._limit and not self._make_room(list(self._open)):
            return LimitError(f"{self._what}: all {self._limit} streams are in use")
        return None

    def _make_room(self, streams: list[OpenStream]) -> bool:
        """End the stream that has been unused for longest; False if all are in use."""
        unused = [stream for stream in streams if stream.may_give_way]
        if not unused:
            return False
        self._end(
            max(unused, key=lambda stream: stream.unused_seconds), "this one was not used and makes room for another"
        )
        return True

    def _end(self, stream: OpenStream, why: str) -> None:
        stream.end(LinkError(f"{self._what}: {why}"))
        self._leave(stream)

    def _leave(self, stream: OpenStream) -> None:
        self._open.pop(stream, None)
        if not self._open:
            self._none_open.set()

    def _watch_idle(self, stream: OpenStream) -> asyncio.TimerHandle | None:
        """End a stream once it has been idle for too long."""
        if self._idle_seconds is None:
            return None
        limit, loop = self._idle_seconds, asyncio.get_running_loop()

        def check() -> None:
            if stream not in self._open:
                return
            left = limit - stream.idle_seconds
            if left <= 0:
                self._end(stream, f"nothing was sent for {limit:g} s")
            else:
                loop.call_later(left, check)

        return loop.call_later(limit, check)

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
            await asyncio.wait_for(self._none_open.wait(), seconds)
        except TimeoutError:
            return False
        return True


def _running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
