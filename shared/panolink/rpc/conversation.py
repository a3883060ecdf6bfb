"""Items to a service over one stream that mends itself, and exactly one answer for each.

The transmitter and the channel speak to their next hop through it (bursts and receipts), and the client to a
transmitter (panoramas and deliveries).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc.aio

from panolink.errors import PanolinkError
from panolink.rpc.status import failure
from panolink.v1 import link_pb2

Item = TypeVar("Item")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

# What grpc.aio says, in place of the status, when a stream ends while we write to it (grpc/grpc#36066).
_WRITE_LOST = "Internal error from Core"


class Conversation(Generic[Item, Answer]):
    """Sends items and hands out a future of each answer.

    Args:
        open_call: starts a bidirectional stream (a stub's method).
        messages: the messages that make up an item.
        answers: the answers in a stream of messages, each with the id of its item.
        failed: the answer for an item that got none, from the reason.
        peer: the other side, for messages: `next hop 127.0.0.1:50053`.
        timeout: seconds from an item's last message to its answer; later ones are ignored.

    When the stream breaks, every item under way is answered with a failure, and the next item opens a new
    stream. Nothing is sent twice. How many items are under way is the caller's to bound (see `exchange`).
    """

    def __init__(
        self,
        *,
        open_call: Callable[[], Any],
        messages: Callable[[Item], Iterable[Any]],
        answers: Callable[[Any], AsyncIterator[tuple[str, Answer]]],
        failed: Callable[[Item, link_pb2.Failure], Answer],
        peer: str,
        timeout: float,
        on_break: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_call = open_call
        self._messages = messages
        self._answers = answers
        self._failed = failed
        self._peer = peer
        self._timeout = timeout
        self._on_break = on_break
        self._stream: _Stream | None = None
        self._writing = asyncio.Lock()

    async def send(self, item_id: str, item: Item) -> asyncio.Future[Answer]:
        """Send an item as fast as the other side takes it; the future becomes its answer, never an error."""
        async with self._writing:
            if self._stream is None or self._stream.ended:
                self._stream = _Stream(self._open_call())
                self._stream.reader = asyncio.create_task(self._read(self._stream))
            stream = self._stream
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            stream.pending[item_id] = (item, future)
            try:
                for message in self._messages(item):
                    if future.done():  # refused early, or the stream broke: the rest is of no use
                        break
                    await stream.call.write(message)
            except (grpc.RpcError, asyncio.InvalidStateError):
                pass  # the stream has ended; its reader answers all that is pending
            except BaseException:
                stream.pending.pop(item_id, None)
                raise
        timer = asyncio.get_running_loop().call_later(self._timeout, self._time_out, stream, item_id)
        future.add_done_callback(lambda _: timer.cancel())
        return future

    async def close(self) -> None:
        """End the stream; items under way are answered with failures."""
        stream, self._stream = self._stream, None
        if stream and stream.reader:
            if not stream.pending and not stream.ended:
                await _quietly(stream.call.done_writing(), 1.0)
                await _quietly(asyncio.shield(stream.reader), 1.0)
            stream.call.cancel()
            await _quietly(stream.reader, 1.0)

    async def _read(self, stream: _Stream) -> None:
        reason = failure(grpc.StatusCode.UNAVAILABLE, f"{self._peer} ended the stream without an answer")
        try:
            async for item_id, answer in self._answers(stream.call):
                self._answer(stream, item_id, answer)
        except grpc.aio.AioRpcError as error:
            if error.details() == _WRITE_LOST:
                error_code, details = grpc.StatusCode.UNAVAILABLE, "ended the stream while it was written to"
            elif error.code() is grpc.StatusCode.CANCELLED:  # not by us, which raises CancelledError: it goes away
                error_code, details = grpc.StatusCode.UNAVAILABLE, "broke the stream off"
            else:
                error_code, details = error.code(), error.details() or error.code().name
            reason = failure(error_code, f"{self._peer}: {details}")
        except asyncio.CancelledError:
            reason = failure(grpc.StatusCode.CANCELLED, f"{self._peer}: the stream was closed")
        except PanolinkError as error:
            reason = failure(grpc.StatusCode.INTERNAL, f"{self._peer}: {error}")
        finally:
            stream.ended = True
            stream.call.cancel()
            if stream.pending:
                log.warning("%d under way are lost: %s", len(stream.pending), reason.message)
                self._on_break()
            for item_id, (item, _) in list(stream.pending.items()):
                self._answer(stream, item_id, self._failed(item, reason))

    def _time_out(self, stream: _Stream, item_id: str) -> None:
        if item_id in stream.pending:
            message = f"{self._peer}: no answer within {self._timeout:g} s"
            item, _ = stream.pending[item_id]
            self._answer(stream, item_id, self._failed(item, failure(grpc.StatusCode.DEADLINE_EXCEEDED, message)))

    def _answer(self, stream: _Stream, item_id: str, answer: Any) -> None:
        """Resolve an item's future, once; an answer to nothing that is pending is too late or a fault."""
        _, future = stream.pending.pop(item_id, (None, None))
        if future is None:
            log.warning("%s: an answer for %r, which is not under way", self._peer, item_id)
        elif not future.done():
            future.set_result(answer)


class _Stream:
    """One call, what is under way on it, and the task that reads its answers."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.pending: dict[str, tuple[Any, asyncio.Future[Any]]] = {}
        self.reader: asyncio.Task[None] | None = None
        self.ended = False


async def _quietly(awaitable: Any, seconds: float) -> None:
    """Wait for the end of something whose outcome no longer matters."""
    with suppress(grpc.RpcError, asyncio.InvalidStateError, asyncio.CancelledError, TimeoutError):
        await asyncio.wait_for(awaitable, seconds)
