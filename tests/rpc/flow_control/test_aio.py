"""Waiting for the first of several events; a blocking iterator beside an event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from panolink.rpc.flow_control.aio import iterate_in_thread, unless, until_done


async def value(result: str) -> str:
    await asyncio.sleep(0)
    return result


async def test_the_result_comes_if_the_event_is_not_set() -> None:
    assert await unless(asyncio.Event(), value("here"), None) == "here"


async def test_the_event_cancels_what_is_waited_for() -> None:
    event, queue = asyncio.Event(), asyncio.Queue[str]()
    task = asyncio.create_task(unless(event, queue.get(), "default"))
    await asyncio.sleep(0)
    event.set()
    assert await task == "default"
    queue.put_nowait("kept")
    assert queue.get_nowait() == "kept"  # the cancelled get() has taken nothing


async def test_an_error_is_passed_on() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await unless(asyncio.Event(), fail(), None)


async def test_items_come_when_they_are_asked_for() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    async with aclosing(iterate_in_thread(items())) as numbers:
        assert [await anext(numbers), await anext(numbers)] == [0, 1]
        await asyncio.sleep(0.01)
        assert made == [0, 1]
        assert [number async for number in numbers] == [2, 3, 4]


async def test_errors_come_through() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        [number async for number in iterate_in_thread(items())]


async def test_one_that_blocks_for_good_holds_nobody() -> None:
    reached, never = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        reached.set()
        never.wait()
        yield 1

    async with aclosing(iterate_in_thread(items())) as numbers:
        first = asyncio.ensure_future(anext(numbers))
        await asyncio.to_thread(reached.wait)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    blocked = [thread for thread in threading.enumerate() if thread.name == "panolink-input"]
    assert blocked and all(thread.daemon for thread in blocked)
    never.set()


async def test_what_cannot_be_stopped_is_waited_for() -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(until_done(done))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    done.set_result(None)
    await asyncio.wait_for(waiting, 10)
