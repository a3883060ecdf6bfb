"""Cache of recent receipts, for deduplication: a burst that is resent is decoded and published once.

A resent burst is recognised by its id; its content digest tells it from another burst under the same id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from typing import Any

from panolink.rpc.wire.bursts import Receipt

MAX_RECEIPTS = 4096
"""Many times the number of bursts in flight: a burst is resent within seconds, or never."""
MAX_PICTURE_BYTES = 64 << 20


class ReceiptCache:
    """Receipts by burst id: pending ones and the most recent.

    Parameters
    ----------
    receipts
        Maximum number of completed receipts; the oldest are evicted first.
    picture_bytes
        Maximum size in bytes of the pictures of these receipts. The oldest pictures are evicted first; their receipts
        stay, without the picture.
    """

    def __init__(self, *, receipts: int = MAX_RECEIPTS, picture_bytes: int = MAX_PICTURE_BYTES) -> None:
        self._most_receipts = receipts
        self._most_bytes = picture_bytes
        self._under_way: dict[str, asyncio.Task[Receipt]] = {}
        self._made: dict[str, Receipt] = {}
        self._digests: dict[str, bytes] = {}  # of both
        self._with_picture: deque[str] = deque()
        self._bytes = 0

    def __contains__(self, burst_id: str) -> bool:
        return burst_id in self._under_way or burst_id in self._made

    def begin(self, burst_id: str, receive: Coroutine[Any, Any, Receipt], *, digest: bytes = b"") -> Awaitable[Receipt]:
        """Start receiving a new burst of this content digest; it completes even if the caller is cancelled."""
        task = asyncio.create_task(receive)
        self._under_way[burst_id] = task
        self._digests[burst_id] = digest
        task.add_done_callback(lambda _: self._end(burst_id, task))
        return asyncio.shield(task)

    def digest(self, burst_id: str) -> bytes:
        """Content digest of a known burst."""
        return self._digests[burst_id]

    def receipt(self, burst_id: str) -> Awaitable[Receipt]:
        """Awaitable receipt of a known burst, independent of later eviction."""
        if task := self._under_way.get(burst_id):
            return asyncio.shield(task)
        made: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        made.set_result(self._made[burst_id])
        return made

    def _end(self, burst_id: str, task: asyncio.Task[Receipt]) -> None:
        del self._under_way[burst_id]
        if task.cancelled() or task.exception():
            del self._digests[burst_id]
            return
        receipt = self._made[burst_id] = task.result()
        if receipt.picture:
            self._with_picture.append(burst_id)
            self._bytes += len(receipt.picture)
        while self._bytes > self._most_bytes:
            self._evict_picture()
        while len(self._made) > self._most_receipts:
            oldest = next(iter(self._made))
            while self._made[oldest].picture:
                self._evict_picture()
            del self._made[oldest], self._digests[oldest]

    def _evict_picture(self) -> None:
        """Evict the picture of the oldest receipt that has one."""
        burst_id = self._with_picture.popleft()
        self._bytes -= len(self._made[burst_id].picture)
        self._made[burst_id] = replace(self._made[burst_id], picture=b"")
