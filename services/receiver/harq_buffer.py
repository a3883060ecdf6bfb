"""Bursts that wait for another round: for how long, and in how much memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from panolink.rpc.wire.bursts import Receipt
from panolink.services.receiver.pipeline import Reception
from panolink.v1 import link_pb2


class PendingBurst:
    """A burst between its first round and its receipt.

    `header` is that of the first round.
    """

    def __init__(self, header: link_pb2.BurstHeader) -> None:
        self.header = header
        self.reception = Reception()
        self.busy = False
        """Whether a round is being decoded."""
        self.bytes = 0
        self.timer: asyncio.TimerHandle | None = None
        self._answers: dict[int, asyncio.Task[Receipt]] = {}

    def begin(self, number: int, answer: Coroutine[Any, Any, Receipt]) -> Awaitable[Receipt]:
        """Answer a round; to the end, even if nobody waits for the answer any more."""
        self.busy = True
        self.stop_timer()
        self._answers[number] = asyncio.create_task(answer)
        return asyncio.shield(self._answers[number])

    def answer(self, number: int) -> Awaitable[Receipt] | None:
        """The answer to a round that is known."""
        return asyncio.shield(task) if (task := self._answers.get(number)) else None

    @property
    def last(self) -> int:
        """Number of the last round that came; −1 before the first."""
        return max(self._answers, default=-1)

    def stop_timer(self) -> None:
        """The time does not count while a round is decoded."""
        if self.timer:
            self.timer.cancel()


class HarqBuffer:
    """The bursts that wait.

    Args:
        limit_bytes: that they may take together; those that have waited longest are given up first.
        longest_wait: seconds for which one is kept at most.
        give_up: told of a burst that is to be made do with, and why: `waited` or `memory`. It is forgotten then.
    """

    def __init__(self, *, limit_bytes: int, longest_wait: float, give_up: Callable[[PendingBurst, str], None]) -> None:
        self._limit = limit_bytes
        self._longest_wait = longest_wait
        self._give_up = give_up
        self._waiting: dict[str, PendingBurst] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[PendingBurst]:
        return iter(list(self._waiting.values()))

    @property
    def bytes(self) -> int:
        """Memory that all of them take."""
        return sum(waiting.bytes for waiting in self._waiting.values())

    def get(self, burst_id: str) -> PendingBurst | None:
        """The burst, if it is known and has no receipt yet."""
        return self._waiting.get(burst_id)

    def open(self, header: link_pb2.BurstHeader) -> PendingBurst:
        """A burst's first round has come."""
        waiting = self._waiting[header.burst_id] = PendingBurst(header)
        return waiting

    def wait(self, waiting: PendingBurst, seconds: float) -> bool:
        """Wait for another round; whether there is room for that, for otherwise the burst is given up at once."""
        waiting.busy = False
        waiting.bytes = decoder.held_bytes if (decoder := waiting.reception.decoder) else 0
        burst_id = waiting.header.burst_id
        self._waiting[burst_id] = self._waiting.pop(burst_id)  # the last one in the row
        wait = min(seconds, self._longest_wait)
        waiting.timer = asyncio.get_running_loop().call_later(wait, self._drop, waiting, "waited")
        held = self.bytes
        for oldest in self:
            if held <= self._limit:
                break
            if not oldest.busy:
                held -= oldest.bytes
                self._drop(oldest, "memory")
        return burst_id in self._waiting

    def end(self, waiting: PendingBurst) -> None:
        """The burst gets its receipt."""
        waiting.stop_timer()
        self._waiting.pop(waiting.header.burst_id, None)

    def _drop(self, waiting: PendingBurst, why: str) -> None:
        self.end(waiting)
        self._give_up(waiting, why)
