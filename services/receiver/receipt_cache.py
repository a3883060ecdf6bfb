"""What became of the bursts of late, for hops that have to ask again: a burst is received and shown once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from typing import Any

from panolink.rpc.wire.bursts import Receipt

MAX_RECEIPTS = 4096
"""Many times what can be under way: a burst is sent again within seconds, or never."""
MAX_PICTURE_BYTES = 64 << 20


class ReceiptCache:
    """Receipts by burst id: those under way, and the latest.

    Args:
        receipts: how many are remembered once they are made.
        picture_bytes: of the pictures remembered with them. The oldest are forgotten first; a burst that is sent again
            after that is still known, and its receipt comes without the picture.
    """

    def __init__(self, *, receipts: int = MAX_RECEIPTS, picture_bytes: int = MAX_PICTURE_BYTES) -> None:
        self._most_receipts = receipts
        self._most_bytes = picture_bytes
        self._under_way: dict[str, asyncio.Task[Receipt]] = {}
        self._made: dict[str, Receipt] = {}
        self._with_picture: deque[str] = deque()
        self._bytes = 0

    def __contains__(self, burst_id: str) -> bool:
        return burst_id in self._under_way or burst_id in self._made

    def begin(self, burst_id: str, receive: Coroutine[Any, Any, Receipt]) -> Awaitable[Receipt]:
        """Receive a burst that is not known; to its end, even if nobody waits for the receipt any more."""
        task = asyncio.create_task(receive)
        self._under_way[burst_id] = task
        task.add_done_callback(lambda _: self._end(burst_id, task))
        return asyncio.shield(task)

    def receipt(self, burst_id: str) -> Awaitable[Receipt]:
        """The receipt of a burst that is known, as soon as it is made; for good, should it be forgotten before."""
        if task := self._under_way.get(burst_id):
            return asyncio.shield(task)
        made: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        made.set_result(self._made[burst_id])
        return made

    def _end(self, burst_id: str, task: asyncio.Task[Receipt]) -> None:
        del self._under_way[burst_id]
        if task.cancelled() or task.exception():
            return
        receipt = self._made[burst_id] = task.result()
        if receipt.picture:
            self._with_picture.append(burst_id)
            self._bytes += len(receipt.picture)
        while self._bytes > self._most_bytes:
            self._forget_picture()
        while len(self._made) > self._most_receipts:
            oldest = next(iter(self._made))
            while self._made[oldest].picture:
                self._forget_picture()
            del self._made[oldest]

    def _forget_picture(self) -> None:
        """Of the oldest that has one."""
        burst_id = self._with_picture.popleft()
        self._bytes -= len(self._made[burst_id].picture)
        self._made[burst_id] = replace(self._made[burst_id], picture=b"")
