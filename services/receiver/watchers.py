"""Publication of received panoramas: a bounded queue per watcher, and a policy for full queues."""

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
    """A published panorama: its header and its PNG file."""

    header: receiver_pb2.ReceivedPanoramaHeader
    picture: bytes = field(repr=False)


class Watcher:
    """Queue of one watcher, and its number of dropped panoramas."""

    def __init__(self, size: int) -> None:
        self.queue: asyncio.Queue[WatchedPanorama] = asyncio.Queue(size)
        self.gone = asyncio.Event()
        self.dropped = 0


class Watchers:
    """All current watchers.

    Parameters
    ----------
    policy
        `block`: publishing waits for every queue. `newest`: a full queue drops its oldest panorama.
    size
        Capacity of a queue in panoramas.
    on_drop
        Called for each dropped panorama.
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
        """Number of panoramas in all queues."""
        return sum(watcher.queue.qsize() for watcher in self._watchers)

    @contextmanager
    def join(self) -> Iterator[Watcher]:
        """Subscribe for the duration of the context."""
        watcher = Watcher(self._size)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            watcher.gone.set()

    async def publish(self, panorama: WatchedPanorama) -> None:
        """Queue a panorama for every watcher; with `block`, waits until each has capacity or has left."""
        for watcher in list(self._watchers):
            if self._policy == "block":
                await unless(watcher.gone, watcher.queue.put(panorama), None)
                continue
            if watcher.queue.full():
                watcher.queue.get_nowait()
                watcher.dropped += 1
                self._on_drop()
            watcher.queue.put_nowait(panorama)
