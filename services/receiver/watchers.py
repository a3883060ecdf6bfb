"""Received panoramas for whoever watches: a bounded queue per viewer, and a named policy for a full one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from panolink.rpc.flow_control.aio import unless
from panolink.v1 import receiver_pb2


@dataclass(frozen=True)
class WatchedPanorama:
    """A received panorama: what is known of it, and its PNG file."""

    header: receiver_pb2.ReceivedPanoramaHeader
    picture: bytes = field(repr=False)


class Watcher:
    """One viewer's queue, and how many panoramas the viewer has missed."""

    def __init__(self, size: int) -> None:
        self.queue: asyncio.Queue[WatchedPanorama] = asyncio.Queue(size)
        self.gone = asyncio.Event()
        self.dropped = 0


class Watchers:
    """All who watch.

    Args:
        policy: `block`: publishing waits for a place in every queue. `newest`: the oldest panorama of a full
            queue makes room.
        size: panoramas in one viewer's queue.
        on_drop: told of each panorama that a viewer misses.
    """

    def __init__(self, policy: Literal["block", "newest"], *, size: int, on_drop: Callable[[], None]) -> None:
        self._policy = policy
        self._size = size
        self._on_drop = on_drop
        self._watchers: set[Watcher] = set()

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def waiting(self) -> int:
        """Panoramas in all queues."""
        return sum(watcher.queue.qsize() for watcher in self._watchers)

    @contextmanager
    def join(self) -> Iterator[Watcher]:
        """Watch from now on."""
        watcher = Watcher(self._size)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            watcher.gone.set()

    async def publish(self, panorama: WatchedPanorama) -> None:
        """Give a panorama to every viewer; with `block`, not before each has room for it or is gone."""
        for watcher in list(self._watchers):
            if self._policy == "block":
                await unless(watcher.gone, watcher.queue.put(panorama), None)
                continue
            if watcher.queue.full():
                watcher.queue.get_nowait()
                watcher.dropped += 1
                self._on_drop()
            watcher.queue.put_nowait(panorama)
