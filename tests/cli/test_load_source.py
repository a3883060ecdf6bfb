"""Sources that leave out what is too late, and what is reported of it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from panolink.cli.load_source import SourceQueue, Step, fill, offer, recovery_seconds
from panolink.rpc.wire.deliveries import Delivery


class SlowLink:
    """Answers one panorama of each stream at a time, after so many seconds; every fourth fails."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.taken = 0

    async def send(self, panoramas: Any, **_: Any) -> AsyncIterator[Delivery]:
        async for source, _file in panoramas:
            self.taken += 1
            failed = self.taken % 4 == 0
            await asyncio.sleep(self.seconds)
            yield Delivery(id=source, source=source, delivered=not failed, code="DATA_LOSS" if failed else None)


def step_of(*latencies: float, every: float = 0.1) -> Step:
    step = Step(10, 1, start=100.0)
    step.delivered = [(100.0 + every * number, latency) for number, latency in enumerate(latencies)]
    return step


def test_percentiles_and_throughput() -> None:
    step = Step(offered=10, seconds=1, arrivals=105, left_out=3)
    step.delivered = [(0.0, number / 100) for number in range(100, 0, -1)]
    step.codes["OK"], step.codes["UNAVAILABLE"] = 100, 1
    step.last_answer = step.start + 4
    step.last_arrival = step.start + 1
    row = step.as_dict()
    assert (row["p50_seconds"], row["p95_seconds"], row["p99_seconds"]) == (0.51, 0.96, 1.0)
    assert row["throughput_per_second"] == pytest.approx(25)
    assert (row["left_out"], row["unanswered"]) == (3, 1) and row["drain_seconds"] == pytest.approx(3)
    assert Step(1, 1).as_dict()["p50_seconds"] is None


async def test_the_newest_goes_first_and_what_is_too_late_is_left_out() -> None:
    queue, step = SourceQueue(60.0), Step(1, 1)
    now = time.monotonic()
    for arrived in (now - 100, now - 61, now - 2, now - 1):
        queue.put(arrived, step)
    assert await queue.take() == (now - 1, step)
    assert await queue.take() == (now - 2, step)
    assert step.left_out == 2 and not len(queue)
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.put(now, step)
    assert await asyncio.wait_for(waiting, 5) == (now, step)
    queue.put(now, step)
    queue.close()
    assert await queue.take() == (now, step), "what waits when no more arrives is still sent"
    assert await queue.take() is None


async def test_a_queue_does_not_grow_while_nothing_is_taken() -> None:
    queue, step = SourceQueue(1.0), Step(1, 1)
    for number in range(100):
        queue.put(time.monotonic() - 100 + number / 10, step)
    assert len(queue) == 1 and step.left_out == 99


async def test_each_panorama_is_delivered_failed_or_left_out() -> None:
    link: Any = SlowLink(0.05)
    steps = await offer(link, [b"x"], {}, [(50, 0.2), (400, 0.3), (50, 0.2)], 2, random.Random(1), 0.1)
    assert [step.offered for step in steps] == [50, 400, 50]
    for step in steps:
        assert step.arrivals and step.arrivals == sum(step.codes.values()) + step.left_out
        assert step.codes["OK"] == len(step.delivered)
    assert steps[1].left_out > steps[1].arrivals / 2, "two streams take forty a second"
    assert steps[0].start + 0.2 == pytest.approx(steps[1].start)
    assert sum(step.codes["DATA_LOSS"] for step in steps) == link.taken // 4


async def test_a_link_that_is_kept_full_tells_what_it_carries() -> None:
    link: Any = SlowLink(0.01)
    step = await fill(link, [b"x", b"y"], {}, 0.1, 3)
    assert step.delivered and sum(step.codes.values()) == link.taken
    assert all(latency >= 0.01 for _, latency in step.delivered)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ((0.9, 0.8, 0.5, 0.2, 0.9, 0.2), 0.3),  # one in three may meet another by chance
        ((0.2, 0.9, 0.9, 0.2, 0.2, 0.2), 0.3),  # one that overtook the others is not yet the end
        ((0.2, 0.2, 0.2), 0.0),
        ((0.9, 0.9, 0.9, 0.2), None),
        ((0.2, 0.2), None),
        ((), None),
    ],
)
def test_recovery_is_when_latency_is_as_before(after: tuple[float, ...], seconds: float | None) -> None:
    before = step_of(0.2, 0.1, 0.3, 0.2, 0.2)
    got = recovery_seconds(before, step_of(*after))
    assert got == (None if seconds is None else pytest.approx(seconds))


def test_without_a_before_there_is_no_recovery() -> None:
    assert recovery_seconds(Step(1, 1), step_of(0.1, 0.1, 0.1)) is None
