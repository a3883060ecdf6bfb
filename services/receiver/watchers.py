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
class Shown:
    """A received panorama: what is known of it, and its PNG file."""

    header: receiver_pb2.ReceivedPanoramaHeader
    picture: bytes = field(repr=False)


class Viewer:
    """One viewer's queue, and how many panoramas the viewer has missed."""

    def __init__(self, size: int) -> None:
        self.queue: asyncio.Queue[Shown] = asyncio.Queue(size)
        self.gone = asyncio.Event()
        self.dropped = 0


class Viewers:
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
        self._viewers: set[Viewer] = set()

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def waiting(self) -> int:
        """Panoramas in all queues."""
        return sum(viewer.queue.qsize() for viewer in self._viewers)

    @contextmanager
    def join(self) -> Iterator[Viewer]:
        """Watch from now on."""
        viewer = Viewer(self._size)
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            viewer.gone.set()

    async def publish(self, panorama: Shown) -> None:
        """Give a panorama to every viewer; with `block`, not before each has room for it or is gone."""
        for viewer in list(self._viewers):
            if self._policy == "block":
                await unless(viewer.gone, viewer.queue.put(panorama), None)
                continue
            if viewer.queue.full():
                viewer.queue.get_nowait()
                viewer.dropped += 1
                self._on_drop()
            viewer.queue.put_nowait(panorama)
