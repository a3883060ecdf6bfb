"""Durations of stages."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from panolink.rpc.observability.stage_timing import in_thread, timed


def test_blocks_of_one_stage_add_up() -> None:
    seconds = {"encode": 10.0}
    with timed(seconds, "encode"):
        pass
    assert 10.0 <= seconds["encode"] < 11.0


async def test_a_thread_sees_the_context_of_its_caller() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")
    variable.set("caller")
    with ThreadPoolExecutor(1) as executor:
        assert await in_thread(executor, variable.get) == "caller"


async def test_who_is_cancelled_waits_for_a_thread_that_works_and_not_for_one_that_has_not_begun() -> None:
    may_end, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(20)

    with ThreadPoolExecutor(1) as executor:
        running, queued = (asyncio.create_task(in_thread(executor, work)) for _ in range(2))
        await asyncio.to_thread(begun.wait, 20)
        for _ in range(2):
            running.cancel()
            queued.cancel()
            await asyncio.sleep(0.02)
        assert queued.cancelled() and not running.done()
        may_end.set()
        async with asyncio.timeout(20):
            await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()
