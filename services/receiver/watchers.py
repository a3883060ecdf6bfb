"""Publication of received panoramas: a bounded queue per watcher, and a policy for full queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from panolink.picture_format import PictureFormat
from panolink.rpc.flow_control.aio import unless
from panolink.rpc.wire.gazes import GazeBook
from panolink.v1 import receiver_pb2


@dataclass(frozen=True)
class WatchedPanorama:
    """A published panorama: its header, its file, and that of its tokens' kinds where a watcher wants them."""

    header: receiver_pb2.ReceivedPanoramaHeader
    picture: bytes = field(repr=False)
    tokens: bytes = field(default=b"", repr=False)


class Wish(NamedTuple):
    """What a watcher has asked for: a format, and a kind of decoder; empty, where it leaves that to the receiver."""

    format: PictureFormat = PictureFormat.PNG
    decoder: str = ""


class Watcher:
    """Queue of one watcher, what it has asked for, and its number of dropped panoramas.

    Parameters
    ----------
    tokens
        Whether it has asked for the kinds of tokens as well.
    """

    def __init__(self, size: int, wish: Wish, *, tokens: bool = False) -> None:
        self.wish = wish
        self.tokens = tokens
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
        self.gazes = GazeBook()
        """Where they look."""

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def waiting(self) -> int:
        """Number of panoramas in all queues."""
        return sum(watcher.queue.qsize() for watcher in self._watchers)

    @contextmanager
    def join(self, wish: Wish = Wish(), *, tokens: bool = False) -> Iterator[Watcher]:  # noqa: B008 (immutable)
        """Subscribe for the duration of the context to pictures as wished, and to the kinds of their tokens."""
        watcher = Watcher(self._size, wish, tokens=tokens)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            self.gazes.leave(watcher)
            watcher.gone.set()

    @property
    def wishes(self) -> set[Wish]:
        """What they have asked for."""
        return {watcher.wish for watcher in self._watchers}

    @property
    def want_tokens(self) -> bool:
        """Whether any of them has asked for the kinds of tokens."""
        return any(watcher.tokens for watcher in self._watchers)

    async def publish(self, panorama: WatchedPanorama, wishes: Collection[Wish] = (Wish(),)) -> None:
        """Queue a panorama for every watcher whose wish it meets; with `block`, waits until each has capacity or has
        left."""
        for watcher in [watcher for watcher in self._watchers if watcher.wish in wishes]:
            if self._policy == "block":
                await unless(watcher.gone, watcher.queue.put(panorama), None)
                continue
            if watcher.queue.full():
                watcher.queue.get_nowait()
                watcher.dropped += 1
                self._on_drop()
            watcher.queue.put_nowait(panorama)
