"""Sources of `load`: panoramas arrive at random times, answered or not, and what waits too long is left out.

A live source cannot wait: what it could not send in time is of the past, and the newest picture is wanted first.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from panolink.client import Client

PATIENCE = 60.0
"""Seconds for which answers are waited for after the last arrival; what has none by then counts as unanswered."""

RECOVERED = 1.5
"""A link has recovered from an overload once latency is so many times its median before it, or less."""
_IN_A_ROW = 3  # panoramas whose median counts, since single ones may meet another by chance


@dataclass
class Step:
    """One offered load and what became of it; times in seconds."""

    offered: float
    seconds: float
    arrivals: int = 0
    delivered: list[tuple[float, float]] = field(default_factory=list)
    """when each arrived here, and from then, whether or not it could be sent at once, to its answer"""
    codes: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    """at the source, since they waited there for too long"""
    last_arrival: float = 0.0
    last_answer: float = 0.0
    start: float = field(default_factory=time.monotonic)
    recovery: float | None = None
    """after an overload: until latency was as before (`recovery_seconds`)"""

    def answered(self, code: str, arrived: float) -> None:
        """Count an answer."""
        self.codes[code] += 1
        self.last_answer = time.monotonic()
        if code == "OK":
            self.delivered.append((arrived, self.last_answer - arrived))

    @property
    def throughput(self) -> float:
        """Panoramas delivered in a second, from the first arrival to the last answer."""
        return self.codes["OK"] / max(self.last_answer - self.start, 1e-9)

    def percentile(self, percent: float) -> float | None:
        """Latency that so many percent stay below; None where nothing was delivered."""
        ordered = sorted(latency for _, latency in self.delivered)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "offered_per_second": self.offered,
            "seconds": self.seconds,
            "arrivals": self.arrivals,
            "left_out": self.left_out,
            "answers": dict(self.codes),
            "unanswered": self.arrivals - self.left_out - sum(self.codes.values()),
            "throughput_per_second": self.throughput,
            "p50_seconds": self.percentile(50),
            "p95_seconds": self.percentile(95),
            "p99_seconds": self.percentile(99),
            "drain_seconds": max(0.0, self.last_answer - self.last_arrival),
            "recovery_seconds": self.recovery,
        }


class SourceQueue:
    """Panoramas that wait at their source: the newest goes first, and what waits for longer than `seconds` is left out.

    Parameters
    ----------
    seconds
        How long a panorama may wait.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, Step]] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, arrived: float, step: Step) -> None:
        """Add a panorama of a step that arrived at this time (`time.monotonic`), which is later than all before."""
        self._leave_out()
        self._waiting.append((arrived, step))
        self._changed.set()

    def close(self) -> None:
        """Nothing more will arrive."""
        self._closed = True
        self._changed.set()

    async def take(self) -> tuple[float, Step] | None:
        """The newest, as soon as there is one; None: closed, and nothing waits any more."""
        while True:
            self._leave_out()
            if self._waiting:
                return self._waiting.pop()
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()

    def _leave_out(self) -> None:
        while self._waiting and self._waiting[0][0] < time.monotonic() - self._seconds:
            self._waiting.popleft()[1].left_out += 1


async def offer(
    link: Client,
    files: Sequence[bytes],
    options: dict[str, Any],
    loads: Iterable[tuple[float, float]],
    streams: int,
    rng: random.Random,
    queue_seconds: float,
) -> list[Step]:
    """Offer panoramas at random times (Poisson), over streams in turn.

    Parameters
    ----------
    link : Client
    files : sequence of bytes
        Image files to choose from.
    options : dict
        Of `Client.send`.
    loads : iterable of (float, float)
        Panoramas a second, and for how many seconds, one after the other without a pause.
    streams : int
    rng : random.Random
    queue_seconds : float
        How long a panorama may wait at its source.

    Returns
    -------
    list of Step
        What became of those that arrived during each of the loads.
    """
    queues = [SourceQueue(queue_seconds) for _ in range(streams)]

    async def stream(queue: SourceQueue) -> None:
        under_way: dict[str, tuple[float, Step]] = {}

        async def panoramas() -> AsyncIterator[tuple[str, bytes]]:
            number = 0
            while taken := await queue.take():
                number += 1
                under_way[str(number)] = taken
                yield str(number), rng.choice(files)

        async for delivery in link.send(panoramas(), **options):
            arrived, step = under_way.pop(delivery.source)
            step.answered(delivery.code or "OK", arrived)

    sending = [asyncio.create_task(stream(queue)) for queue in queues]
    steps: list[Step] = []
    begin, arrivals = time.monotonic(), 0
    for offered, seconds in loads:
        steps.append(step := Step(offered, seconds, start=begin))
        due, begin = begin, begin + seconds
        while (due := due + rng.expovariate(offered)) < begin:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            queues[arrivals % streams].put(due, step)
            arrivals += 1
            step.arrivals, step.last_arrival = step.arrivals + 1, due
    for queue in queues:
        queue.close()
    await _finish(sending)
    return steps


async def fill(link: Client, files: Sequence[bytes], options: dict[str, Any], seconds: float, streams: int) -> Step:
    """Keep all streams full for so long: what the link carries is the throughput."""
    step = Step(float("inf"), seconds)

    async def stream(number: int) -> None:
        async def panoramas() -> AsyncIterator[tuple[str, bytes]]:
            count = number
            while time.monotonic() < step.start + seconds:
                count += 1
                yield f"{time.monotonic()}", files[count % len(files)]

        async for delivery in link.send(panoramas(), **options):
            step.answered(delivery.code or "OK", float(delivery.source))

    await _finish([asyncio.create_task(stream(number)) for number in range(streams)])
    return step


def recovery_seconds(before: Step, after: Step) -> float | None:
    """How long after an overload latency was as before it.

    Parameters
    ----------
    before : Step
        The load before the overload.
    after : Step
        The same load after it.

    Returns
    -------
    float or None
        Seconds from the end of the overload to the first arrival whose latency is at most `RECOVERED` times the median
        before, as is the median of it and the next two. None: that was not seen.
    """
    usual = before.percentile(50)
    ordered = sorted(after.delivered)
    for first in range(len(ordered) - _IN_A_ROW + 1):
        row = [latency for _, latency in ordered[first : first + _IN_A_ROW]]
        if usual is not None and max(row[0], median(row)) <= RECOVERED * usual:
            return max(0.0, ordered[first][0] - after.start)
    return None


async def _finish(sending: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all streams, at most `PATIENCE` seconds."""
    _, late = await asyncio.wait(sending, timeout=PATIENCE)
    for task in late:
        task.cancel()
    for result in await asyncio.gather(*sending, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
