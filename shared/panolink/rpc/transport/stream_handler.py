"""Items from a stream, several under way at once, one answer for each.

`map_concurrent` is the bare pattern; `serve_stream` is how a service uses it on a stream of messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from panolink.errors import BitstreamError, LinkError, PanolinkError
from panolink.rpc.flow_control.limits import LEAST_BYTES_PER_SECOND, STALL_SECONDS
from panolink.rpc.flow_control.memory_budget import MemoryBudget, Reservation
from panolink.rpc.wire.framing import Frame, frames

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def map_concurrent(
    items: AsyncGenerator[Item, None],
    accept: Callable[[Item], Awaitable[Awaitable[Answer]]],
    *,
    in_flight: int,
) -> AsyncGenerator[Answer, None]:
    """Yield one answer for every item, in the order in which they are ready.

    `accept` is called for one item at a time, in order, and may wait (that is back-pressure); what it returns
    is awaited beside the others'. An item counts as in flight from before it is read until its answer has
    been taken, and never more than `in_flight` are: a slow taker, or a slow `accept`, stops the reading.

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


async def serve_stream(
    messages: Any,
    *,
    admit: Callable[[Any], Any],
    accept: Callable[[Frame], Awaitable[Awaitable[Answer]]],
    failed: Callable[[Any, Exception], Answer],
    item_id: Callable[[Any], str],
    in_flight: int,
    stop: asyncio.Event,
    refusal: PanolinkError | None = None,
    memory: MemoryBudget | None = None,
) -> AsyncGenerator[Answer, None]:
    """Answer every item of a stream of messages exactly once, whatever happens to it.

    With a `refusal`, the first item is answered with it and the stream ends with it. (A status alone would get lost:
    a client of grpc.aio that is writing when the status arrives sees an internal error, grpc/grpc#36066.) A service
    that is shutting down (`LinkError`) answers nothing: that item may be sent to another one.

    `admit` is for `frames`, `accept` for `map_concurrent`; `failed(header, error)` makes the answer for an item
    that was refused, or that met an error in `accept` or later. An id that is already under way ends the
    stream, for no answer to it could be told from the other's. An item's share of `room` is held until its answer is
    known.
    """
    if refusal:
        async for frame in frames(messages, lambda _: {}):
            if not isinstance(refusal, LinkError):
                yield failed(frame.header, refusal)
            raise refusal
        return
    under_way: set[str] = set()
    reservations: set[Reservation] = set()

    async def begin(frame: Frame) -> Awaitable[Answer]:
        if frame.reservation:
            reservations.add(frame.reservation)
        name = item_id(frame.header)
        if name in under_way:
            raise BitstreamError(f"id {name!r} is already under way on this stream")
        under_way.add(name)
        try:
            if frame.error:
                raise frame.error
            return end(frame.header, frame.reservation, await accept(frame))
        except Exception as error:
            return end(frame.header, frame.reservation, error)

    async def end(header: Any, reservation: Reservation | None, pending: Awaitable[Answer] | Exception) -> Answer:
        try:
            return failed(header, pending) if isinstance(pending, Exception) else await pending
        except Exception as error:
            return failed(header, error)
        finally:
            under_way.discard(item_id(header))
            if reservation:
                reservation.release()
                reservations.discard(reservation)

    items = frames(messages, admit, stop=stop, memory=memory, stall=STALL_SECONDS, pace=LEAST_BYTES_PER_SECOND)
    try:
        async with aclosing(map_concurrent(items, begin, in_flight=in_flight)) as answers:
            async for answer in answers:
                yield answer
    finally:
        for reservation in reservations:  # of items whose stream broke first
            reservation.release()
