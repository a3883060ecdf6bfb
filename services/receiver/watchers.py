"""Publication of received panoramas: a bounded queue per watcher, and a policy for full queues."""

from __future__ import annotations

import asyncio
from collections import deque
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

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return len(self.picture) + len(self.tokens)


class Wish(NamedTuple):
    """What a watcher has asked for: a format, and the realism of a decoder; None, where it leaves that to the
    receiver."""

    format: PictureFormat = PictureFormat.PNG
    realism: float | None = None


class PanoramaQueue(asyncio.Queue[WatchedPanorama]):
    """A queue of panoramas that can be looked at.

    Parameters
    ----------
    size : int
        Its capacity.
    on_taken : callable
        Called when one was taken out.
    """

    def __init__(self, size: int, on_taken: Callable[[], None]) -> None:
        self.items: deque[WatchedPanorama] = deque()
        self._on_taken = on_taken
        super().__init__(size)

    def _init(self, maxsize: int) -> None:
        self._queue = self.items

    def _get(self) -> WatchedPanorama:
        self._on_taken()
        return self.items.popleft()


class Watcher:
    """Queue of one watcher, what it has asked for, and its number of dropped panoramas.

    Parameters
    ----------
    tokens
        Whether it has asked for the kinds of tokens as well.
    viewer
        Whether somebody sees them, and not an archive.
    """

    def __init__(self, queue: PanoramaQueue, wish: Wish, *, tokens: bool = False, viewer: bool = True) -> None:
        self.wish = wish
        self.viewer = viewer
        self.tokens = tokens
        self.queue = queue
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
    limit_bytes
        Memory of the panoramas in all queues, each counted once. With `block` publishing waits for it, unless nothing
        waits; with `newest` the oldest are dropped, but not the last one of a queue.
    on_drop
        Called for each dropped panorama.
    """

    def __init__(
        self,
        policy: Literal["block", "newest"],
        *,
        size: int,
        limit_bytes: int = 256 << 20,
        on_drop: Callable[[], None],
    ) -> None:
        self._limit = limit_bytes
        self._taken = asyncio.Event()
        self._policy = policy
        self._size = size
        self._on_drop = on_drop
        self._watchers: set[Watcher] = set()
        self.gazes = GazeBook()
        """Where they look."""

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def viewers(self) -> int:
        """Number of watchers that show what they get to somebody."""
        return sum(watcher.viewer for watcher in list(self._watchers))  # metrics ask on a thread of theirs

    @property
    def waiting(self) -> int:
        """Number of panoramas in all queues."""
        return sum(watcher.queue.qsize() for watcher in list(self._watchers))  # metrics ask on a thread of theirs

    @contextmanager
    def join(
        self,
        wish: Wish = Wish(),  # noqa: B008 (immutable)
        *,
        tokens: bool = False,
        viewer: bool = True,
    ) -> Iterator[Watcher]:
        """Subscribe for the duration of the context to pictures as wished, and to the kinds of their tokens.

        `viewer`: whether somebody sees them, and not an archive.
        """
        watcher = Watcher(PanoramaQueue(self._size, self._taken.set), wish, tokens=tokens, viewer=viewer)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            self.gazes.leave(watcher)
            watcher.gone.set()
            self._taken.set()

    @property
    def bytes(self) -> int:
        """Memory of the panoramas in all queues."""
        return sum(self._held().values())

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
                await unless(watcher.gone, self._put(watcher, panorama), None)
                continue
            if watcher.queue.full():
                self._drop_oldest(watcher)
            watcher.queue.put_nowait(panorama)
        if self._policy == "newest":
            self._make_room()

    def miss(self, wishes: Collection[Wish]) -> None:
        """Count a panorama that could not be made as these watchers have wished it as dropped for them."""
        for watcher in self._watchers:
            if watcher.wish in wishes:
                self._drop(watcher)

    async def _put(self, watcher: Watcher, panorama: WatchedPanorama) -> None:
        """Queue a panorama for one watcher once there is room for it."""
        while (held := self._held()) and sum((held | {id(panorama): panorama.bytes}).values()) > self._limit:
            self._taken.clear()
            await self._taken.wait()
        await watcher.queue.put(panorama)

    def _make_room(self) -> None:
        """Drop what has waited for longest, as long as all of it takes more than it may."""
        while self.bytes > self._limit:
            several = [watcher for watcher in self._watchers if len(watcher.queue.items) > 1]
            if not several:
                return
            self._drop_oldest(min(several, key=lambda watcher: watcher.queue.items[0].header.number))

    def _drop_oldest(self, watcher: Watcher) -> None:
        watcher.queue.get_nowait()
        self._drop(watcher)

    def _drop(self, watcher: Watcher) -> None:
        watcher.dropped += 1
        self._on_drop()

    def _held(self) -> dict[int, int]:
        """Bytes of each panorama that waits, by its identity: many wait for several watchers."""
        return {id(one): one.bytes for watcher in self._watchers for one in watcher.queue.items}
