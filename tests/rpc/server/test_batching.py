import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from panolink.errors import ImageError, LinkError
from panolink.rpc.server.batching import Batcher


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_items_that_come_together_run_together(executor: ThreadPoolExecutor) -> None:
    sizes: list[int] = []
    double = Batcher[int, int](
        lambda items: [2 * item for item in items],
        executor=executor,
        max_batch=3,
        max_wait=0.05,
        max_queue=10,
        observe=sizes.append,
    )
    results = await asyncio.gather(*(double(number) for number in range(7)))
    await double.close()
    assert [batched.result for batched in results] == [0, 2, 4, 6, 8, 10, 12]
    assert sizes == [3, 3, 1]
    assert all(batched.queue_seconds >= 0 and batched.run_seconds >= 0 for batched in results)


@pytest.mark.parametrize("bad", [False, True], ids=["whole-batch", "item-by-item"])
async def test_what_was_answered_is_not_held(executor: ThreadPoolExecutor, bad: bool) -> None:
    def run(items: list[int]) -> list[np.ndarray]:
        if bad and 0 in items:
            raise ImageError("nought")
        return [np.zeros(item) for item in items]

    zeros = Batcher[int, np.ndarray](run, executor=executor, max_batch=2, max_wait=0.05, max_queue=10)
    batched: Any = await asyncio.gather(zeros(0), zeros(7), return_exceptions=True)
    held = weakref.ref(batched[1].result)
    del batched
    async with asyncio.timeout(20):  # the executor's thread may still have it
        while held() is not None:
            await asyncio.sleep(0.01)
            gc.collect()
    await zeros.close()


async def test_one_bad_item_fails_alone(executor: ThreadPoolExecutor) -> None:
    def run(items: list[int]) -> list[int]:
        if 3 in items:
            raise ImageError("three")
        return items

    batcher = Batcher(run, executor=executor, max_batch=5, max_wait=0.05, max_queue=5)
    results = await asyncio.gather(*(batcher(n) for n in range(5)), return_exceptions=True)
    await batcher.close()
    assert [isinstance(result, ImageError) for result in results] == [False, False, False, True, False]


async def test_a_full_queue_holds_callers_back_and_closing_lets_them_go(executor: ThreadPoolExecutor) -> None:
    go = threading.Event()

    def run(items: list[int]) -> list[int]:
        go.wait(10)
        return items

    batcher = Batcher(run, executor=executor, max_batch=1, max_wait=0, max_queue=2)
    calls = [asyncio.ensure_future(batcher(n)) for n in range(3)]
    await asyncio.sleep(0.02)
    assert len(batcher) == 2
    await batcher.close()
    go.set()
    assert isinstance((await asyncio.gather(*calls, return_exceptions=True))[-1], LinkError)


async def test_who_is_cancelled_leaves_the_queue_or_waits_for_the_batch(executor: ThreadPoolExecutor) -> None:
    """What is not given back to a budget any more is not held, and what is held is not given back."""
    begun, may_end = threading.Event(), threading.Event()

    def run(items: list[Any]) -> list[Any]:
        begun.set()
        may_end.wait(20)
        return items

    batcher = Batcher[Any, Any](run, executor=executor, max_batch=1, max_wait=0, max_queue=10)
    running = asyncio.create_task(batcher(np.zeros(3)))
    await asyncio.to_thread(begun.wait, 20)
    picture = np.zeros(4)
    held = weakref.ref(picture)
    queued = asyncio.create_task(batcher(picture))
    await asyncio.sleep(0.01)
    running.cancel()
    queued.cancel()
    await asyncio.gather(queued, return_exceptions=True)
    del picture, queued
    await asyncio.sleep(0.05)
    gc.collect()
    gone, waits = held() is None, not running.done()
    may_end.set()
    assert gone and waits
    async with asyncio.timeout(20):
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    await batcher.close()
