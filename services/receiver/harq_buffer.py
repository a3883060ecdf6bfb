"""HARQ buffer: bursts waiting for retransmissions, bounded in time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from panolink.rpc.wire.bursts import Receipt
from panolink.services.receiver.pipeline import BurstState
from panolink.services.receiver.stream_order import Turn
from panolink.v1 import link_pb2


class PendingBurst:
    """A burst between its first round and its receipt.

    Attributes
    ----------
    header
        Header of the first round.
    reception
        Decoding state.
    busy
        Whether a round is being decoded.
    bytes
        Memory held by the soft values.
    turn
        Of its first round among the pictures of its stream; None once it waits for another.
    overtaken
        Whether a later picture of its stream is about to be shown.
    """

    def __init__(self, header: link_pb2.BurstHeader) -> None:
        self.header = header
        self.reception = BurstState()
        self.busy = False
        self.bytes = 0
        self.turn: Turn | None = None
        self.overtaken = False
        self.timer: asyncio.TimerHandle | None = None
        self._answers: dict[int, asyncio.Task[Receipt]] = {}

    def begin(self, number: int, answer: Coroutine[Any, Any, Receipt]) -> Awaitable[Receipt]:
        """Start decoding a round; it completes even if the caller is cancelled."""
        self.busy = True
        self.stop_timer()
        self._answers[number] = asyncio.create_task(answer)
        return asyncio.shield(self._answers[number])

    def answer(self, number: int) -> Awaitable[Receipt] | None:
        """Awaitable answer to a round; None if the round is new."""
        return asyncio.shield(task) if (task := self._answers.get(number)) else None

    @property
    def last(self) -> int:
        """Number of the last round received; −1 before the first."""
        return max(self._answers, default=-1)

    def end_turn(self) -> None:
        """Hold up the pictures behind no longer."""
        if self.turn:
            self.turn.end()
            self.turn = None

    def stop_timer(self) -> None:
        """Stop the timeout; time spent decoding does not count."""
        if self.timer:
            self.timer.cancel()


class HarqBuffer:
    """Bursts waiting for retransmissions.

    Parameters
    ----------
    limit_bytes
        Maximum memory in bytes; the bursts that have waited longest are evicted first.
    longest_wait
        Maximum wait in seconds.
    give_up
        Called with each evicted burst and the reason, `waited` or `memory`.
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
        """Memory held by all bursts in bytes."""
        return sum(waiting.bytes for waiting in self)

    def get(self, burst_id: str) -> PendingBurst | None:
        """Pending burst of an id; None if unknown or completed."""
        return self._waiting.get(burst_id)

    def open(self, header: link_pb2.BurstHeader) -> PendingBurst:
        """Add a burst whose first round has arrived."""
        waiting = self._waiting[header.burst_id] = PendingBurst(header)
        return waiting

    def wait(self, waiting: PendingBurst, seconds: float) -> bool:
        """Wait for another round; False if the burst was evicted at once for lack of memory."""
        waiting.busy = False
        waiting.bytes = decoder.held_bytes if (decoder := waiting.reception.decoder) else 0
        burst_id = waiting.header.burst_id
        self._waiting[burst_id] = self._waiting.pop(burst_id)  # most recently used
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
        """Remove a burst that is being completed."""
        waiting.stop_timer()
        waiting.busy = False  # no further answer of a round is waited for
        self._waiting.pop(waiting.header.burst_id, None)

    def _drop(self, waiting: PendingBurst, why: str) -> None:
        self.end(waiting)
        self._give_up(waiting, why)
