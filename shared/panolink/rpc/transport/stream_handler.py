"""Concurrent handling of a stream of items, with exactly one answer per item.

`map_concurrent` is the generic pattern; `serve_stream` applies it to a stream of protocol messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, nullcontext, suppress
from typing import Any, TypeVar

from panolink.errors import BitstreamError, LimitError, LinkError, PanolinkError
from panolink.rpc.flow_control.limits import LEAST_BYTES_PER_SECOND, STALL_SECONDS
from panolink.rpc.flow_control.memory_budget import MemoryBudget, Reservation
from panolink.rpc.flow_control.streams import OpenStream
from panolink.rpc.wire.framing import Frame, frames
from panolink.rpc.wire.pushback import pushback_to_wire

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_REFUSED_SECONDS = 5.0  # for the first item of a stream that is refused, whose answer says so


async def map_concurrent(
    items: AsyncGenerator[Item, None],
    accept: Callable[[Item], Awaitable[Awaitable[Answer]]],
    *,
    in_flight: int,
) -> AsyncGenerator[Answer, None]:
    """Map items to answers concurrently; yields answers in order of completion.

    Parameters
    ----------
    items
        The items; closed at the end.
    accept
        Called for one item at a time, in order; it may wait, which applies back-pressure, and returns the awaitable
        answer, which is awaited concurrently.
    in_flight
        Maximum number of items in flight, each from before it is read until its answer has been consumed: a slow
        consumer, or a slow `accept`, stops the reading.

    Raises
    ------
    PanolinkError
        From `items` or `accept`, once all pending answers have been yielded.
    """
    answers: asyncio.Queue[Any] = asyncio.Queue()
    slots = asyncio.Semaphore(in_flight)
    end = object()

    async def finish(pending: Awaitable[Answer]) -> None:
        answers.put_nowait(await pending)

    async def read() -> None:
        failed: PanolinkError | None = None
        async with asyncio.TaskGroup() as tasks:
            try:
                await slots.acquire()
                async for item in items:
                    tasks.create_task(finish(await accept(item)))
                    del item  # do not keep it alive until the next item
                    await slots.acquire()
            except PanolinkError as error:
                failed = error
        try:
            if failed:
                raise failed
        finally:
            del failed  # whose traceback holds this frame, and with it the answers

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
            raise group.exceptions[0] from None  # the first error; the others follow from it
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
    context: Any = None,
    memory: MemoryBudget | None = None,
    answer_bytes: Callable[[Answer], int] = lambda answer: 0,
    stream: OpenStream | None = None,
) -> AsyncGenerator[Answer, None]:
    """Answer every item of a stream of messages exactly once.

    Parameters
    ----------
    messages
        Messages of the stream.
    admit
        Validates a header, see `frames`.
    accept
        Accepts a complete item, see `map_concurrent`.
    failed
        Makes the answer of an item that was rejected or failed, from its header and the error.
    item_id
        Id of an item, from its header.
    in_flight
        Maximum number of items in flight.
    stop
        Ends the stream at the next item boundary once it is set.
    refusal
        Refuses the stream: its first item is answered with this error and the stream ends with it. (A client of
        grpc.aio that is writing when the status arrives sees an internal error instead, grpc/grpc#36066.) A
        `LinkError` (shutting down) answers no item, so that it can be resent to another replica. A `LimitError` (no
        room) is told before that, in the call's initial metadata, with the time after which to try again.
    context
        Of the call, to tell such a refusal.
    memory
        Budget for the items and for answers that have not been taken: an item's reservation is held until its answer is
        known, the answer's until the next one is asked for.
    answer_bytes
        Memory that an answer takes.
    stream
        Notified of what the stream is doing, so that it can give way to others while it is not used.

    Raises
    ------
    BitstreamError
        An id that is already in flight on this stream, whose answers would be ambiguous.
    LinkError
        `stop` was set, or an item timed out.
    """
    if refusal:
        if context and isinstance(refusal, LimitError):
            await context.send_initial_metadata(pushback_to_wire(refusal))
        items = frames(messages, lambda _: {})
        with suppress(TimeoutError, StopAsyncIteration):  # without an item there is nothing to answer
            async with asyncio.timeout(_REFUSED_SECONDS):
                frame = await anext(items)
            if not isinstance(refusal, LinkError):
                yield failed(frame.header, refusal)
        raise refusal
    active: set[str] = set()
    reservations: set[Reservation] = set()

    async def begin(frame: Frame) -> Awaitable[tuple[Answer, Reservation | None]]:
        if frame.reservation:
            reservations.add(frame.reservation)
        name = item_id(frame.header)
        if name in active:
            raise BitstreamError(f"id {name!r} is already under way on this stream")
        active.add(name)
        try:
            if frame.error:
                raise frame.error
            with stream.item() if stream else nullcontext():  # that we accept it late is not the peer's doing
                return end(frame.header, frame.reservation, await accept(frame))
        except Exception as error:
            return end(frame.header, frame.reservation, error)

    async def answered(header: Any, pending: Awaitable[Answer] | Exception) -> Answer:
        try:
            with stream.item() if stream else nullcontext():
                return failed(header, pending) if isinstance(pending, Exception) else await pending
        except Exception as error:
            return failed(header, error)

    async def end(
        header: Any, reservation: Reservation | None, pending: Awaitable[Answer] | Exception
    ) -> tuple[Answer, Reservation | None]:
        try:
            answer = await answered(header, pending)
            charged = memory.charge(answer_bytes(answer)) if memory else None
            if charged:
                reservations.add(charged)
            return answer, charged
        finally:
            active.discard(item_id(header))
            release(reservation)

    def release(reservation: Reservation | None) -> None:
        if reservation:
            reservation.release()
            reservations.discard(reservation)

    items = frames(
        messages,
        admit,
        stop=stop,
        memory=memory,
        stall=STALL_SECONDS,
        pace=LEAST_BYTES_PER_SECOND,
        progress=(lambda receiving: stream.progress(receiving=receiving)) if stream else lambda receiving: None,
        waiting=stream.waits_for_us if stream else nullcontext,
    )
    try:
        async with aclosing(map_concurrent(items, begin, in_flight=in_flight)) as answers:
            async for answer, charged in answers:
                yield answer
                del answer
                release(charged)
    finally:
        for reservation in reservations:  # of a stream that broke before its items were answered, or answers taken
            reservation.release()
