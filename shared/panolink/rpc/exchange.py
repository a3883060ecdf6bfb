"""Items from a stream, several under way at once, one answer for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from panolink.errors import PanolinkError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def exchange(
    items: AsyncGenerator[Item, None],
    accept: Callable[[Item], Awaitable[Awaitable[Answer]]],
    *,
    in_flight: int,
) -> AsyncGenerator[Answer, None]:
    """Yield one answer for every item, in the order in which they are ready.

    `accept` is called for one item at a time, in order, and may wait (that is back-pressure); what it returns is
    awaited beside the others'. An item counts as in flight from before it is read until its answer has been taken,
    and never more than `in_flight` are: a slow taker, or a slow `accept`, stops the reading.

    A `PanolinkError` from `items` or `accept` is the stream's end: it is raised after all answers under way.
    """
    answers: asyncio.Queue[Any] = asyncio.Queue()
    slots = asyncio.Semaphore(in_flight)
    end = object()

    async def finish(pending: Awaitable[Answer]) -> None:
        answers.put_nowait(await pending)

    async def read() -> None:
        failed: PanolinkError | None = None
        async with asyncio.TaskGroup() as under_way:
            try:
                await slots.acquire()
                async for item in items:
                    under_way.create_task(finish(await accept(item)))
                    del item  # or it would live until the next one comes
                    await slots.acquire()
            except PanolinkError as error:
                failed = error
        if failed:
            raise failed

    async with aclosing(items):
        reader = asyncio.create_task(read())
        reader.add_done_callback(lambda _: answers.put_nowait(end))
        try:
            while (answer := await answers.get()) is not end:
                yield answer
                del answer
                slots.release()
            await reader
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # the first fault; the others follow from it
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
