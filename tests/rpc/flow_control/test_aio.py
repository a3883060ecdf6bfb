"""Waiting for the first of several events."""

import asyncio

import pytest

from panolink.rpc.flow_control.aio import unless


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
