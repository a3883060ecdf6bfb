"""Waiting for the first of several events, and for what blocks a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")
Default = TypeVar("Default")
Item = TypeVar("Item")


async def unless(event: asyncio.Event, awaitable: Awaitable[Result], default: Default) -> Result | Default:
    """Await `awaitable` unless `event` is set first.

    Returns
    -------
    Result or Default
        The result of `awaitable`; `default` if the event was set first, in which case `awaitable` is cancelled.
    """
    wanted = asyncio.ensure_future(awaitable)
    halt = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({wanted, halt}, return_when=asyncio.FIRST_COMPLETED)
        return wanted.result() if wanted.done() else default
    finally:
        wanted.cancel()
        halt.cancel()


def task_is_cancelled() -> bool:
    """Whether the current task itself is cancelled, rather than the call that it waits for."""
    task = asyncio.current_task()
    return bool(task and task.cancelling())


async def until_done(future: asyncio.Future[Any]) -> None:
    """Wait until a future is done, however often the caller is cancelled meanwhile, which it is to raise afterwards.

    For work that cannot be stopped, whose memory stays reserved for as long as it takes it. Its result is nobody's.
    """
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({future})
    if not future.cancelled():
        future.exception()  # looked at, so that nobody is warned of it


async def iterate_in_thread(items: Iterable[Item]) -> AsyncGenerator[Item, None]:
    """Advance a blocking iterator in a thread of its own, by one item whenever one is asked for.

    The thread is a daemon: an iterator that blocks for good, such as one that reads a pipe, keeps no process from
    ending. It raises what the iterator raises.
    """
    loop = asyncio.get_running_loop()
    wanted = threading.Semaphore(0)
    stopped = False
    answers: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def answer(kind: str, value: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(answers.put_nowait, (kind, value))

    def advance() -> None:
        try:
            iterator = iter(items)
            while wanted.acquire() and not stopped:
                try:
                    answer("item", next(iterator))
                except StopIteration:
                    break
        except BaseException as error:
            answer("error", error)
            return
        answer("end", None)

    threading.Thread(target=advance, name="panolink-input", daemon=True).start()
    try:
        while True:
            wanted.release()
            kind, value = await answers.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped = True
        wanted.release()
