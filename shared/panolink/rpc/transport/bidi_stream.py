"""A bidirectional stream of items and their answers.

A `BidiStream` is used until it breaks; `RetryingClient` then opens another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc.aio

from panolink.errors import PanolinkError
from panolink.rpc.flow_control.aio import task_is_cancelled
from panolink.rpc.flow_control.limits import MAX_ID_LENGTH
from panolink.rpc.observability import logs
from panolink.rpc.transport.connection import tls_refusal
from panolink.rpc.wire.pushback import Pushback, pushback_from_wire
from panolink.rpc.wire.status import failure
from panolink.v1 import link_pb2

Item = TypeVar("Item")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

# Details reported by grpc.aio instead of the status if a stream ends during a write (grpc/grpc#36066).
_WRITE_LOST = "Internal error from Core"


class Unanswered(Exception):  # noqa: N818 - an outcome: the item can be sent again
    """The stream broke before an item was answered.

    Parameters
    ----------
    failure
        Why it broke.
    sent
        Whether the peer may have received the complete item.
    """

    def __init__(self, failure: link_pb2.Failure, *, sent: bool) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.sent = sent


class BidiStream(Generic[Item, Answer]):
    """A bidirectional gRPC call with several items in flight.

    If the peer becomes UNAVAILABLE, or has no room for the stream and says when to try again, pending items raise
    `Unanswered`. If it ends the stream with another status, that status is the answer of every pending item.

    Parameters
    ----------
    call
        A bidirectional call, just started.
    messages
        Serializes an item.
    answers
        Parses the answers in a stream of messages; yields each with the id of its item.
    failed
        Makes the answer of an item that received none.
    peer
        Name of the peer, for messages: `next hop 127.0.0.1:50053`.
    timeout
        Seconds from an item's last message to its answer; later answers are ignored. A peer that for so long takes none
        of an item and answers nothing has stalled: the stream is ended, and its items fail with DEADLINE_EXCEEDED.
    on_break
        Called if the stream breaks with items pending.
    on_refusal
        Called instead if the peer has no room for the stream.
    """

    def __init__(
        self,
        call: Any,
        *,
        messages: Callable[[Item], Iterable[Any]],
        answers: Callable[[Any], AsyncIterator[tuple[str, Answer]]],
        failed: Callable[[Item, link_pb2.Failure], Answer],
        peer: str,
        timeout: float,
        on_break: Callable[[], None],
        on_refusal: Callable[[Pushback], None],
    ) -> None:
        self.ended = False
        self._call = call
        self._messages = messages
        self._answers = answers
        self._failed = failed
        self._peer = peer
        self._timeout = timeout
        self._on_break = on_break
        self._on_refusal = on_refusal
        self._pending: dict[str, _PendingItem] = {}
        self._writing = asyncio.Lock()
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stalled: link_pb2.Failure | None = None
        self._closing = False
        self._reader = asyncio.create_task(self._read())

    def __len__(self) -> int:
        return len(self._pending)

    async def send(self, item_id: str, item: Item) -> asyncio.Future[Answer]:
        """Send an item, subject to the peer's flow control.

        Returns
        -------
        asyncio.Future
            The answer; raises `Unanswered` if the stream breaks first.

        Raises
        ------
        Unanswered
            The stream has ended already.
        """
        async with self._writing:
            if self.ended:  # while waiting for the lock
                raise Unanswered(failure(grpc.StatusCode.UNAVAILABLE, f"{self._peer} is gone"), sent=False)
            pending = self._pending[item_id] = _PendingItem(item)
            try:
                self._expect_progress()
                for message in self._messages(item):
                    if pending.future.done():  # rejected early, or the stream broke: skip the rest
                        break
                    await self._call.write(message)
                    self._expect_progress()
                else:
                    pending.sent = True
            except (grpc.RpcError, asyncio.InvalidStateError):
                await asyncio.wait([pending.future])  # the stream has ended; the reader resolves all pending items
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and not task_is_cancelled():
                    await asyncio.wait([pending.future])  # the call is cancelled: the reader has ended it
                else:
                    self._pending.pop(item_id, None)
                    raise
            finally:
                self._expect_nothing()
        timer = asyncio.get_running_loop().call_later(self._timeout, self._time_out, item_id)
        pending.future.add_done_callback(lambda _: timer.cancel())
        return pending.future

    async def close(self) -> None:
        """Close the stream; pending items are answered with failures."""
        self._closing = True
        try:
            if not self._pending and not self.ended:
                await _quietly(self._call.done_writing(), 1.0)
                await _quietly(asyncio.shield(self._reader), 1.0)
        finally:
            self._call.cancel()
        await _quietly(self._reader, 1.0)

    async def _read(self) -> None:
        reason = failure(grpc.StatusCode.UNAVAILABLE, f"{self._peer} ended the stream without an answer")
        try:
            if pushback := pushback_from_wire(await self._call.initial_metadata()):
                self._refuse(pushback)
                return
            async for item_id, answer in self._answers(self._call):
                self._answer(item_id, answer)
                if self._stall_timer:
                    self._expect_progress()
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), tls_refusal(error) or error.details() or error.code().name
            if error.details() == _WRITE_LOST:
                code, details = grpc.StatusCode.UNAVAILABLE, "ended the stream while it was written to"
            elif code is grpc.StatusCode.CANCELLED:  # by the peer, as a local cancellation raises CancelledError
                code, details = grpc.StatusCode.UNAVAILABLE, "broke the stream off"
            reason = failure(code, f"{self._peer}: {details}")
        except asyncio.CancelledError:
            if self._stalled:
                reason = self._stalled
            elif self._closing:
                reason = failure(grpc.StatusCode.CANCELLED, f"{self._peer}: the stream was closed")
            else:  # its channel was replaced, an hour ago, when certificates or the token changed: items are sent again
                reason = failure(grpc.StatusCode.UNAVAILABLE, f"{self._peer}: the connection was replaced")
        except PanolinkError as error:
            reason = failure(grpc.StatusCode.INTERNAL, f"{self._peer}: {error}")
        finally:
            self.ended = True
            self._call.cancel()
            self._break(reason)

    def _refuse(self, pushback: Pushback) -> None:
        """The peer has no room for the stream: nothing that was sent on it has been looked at."""
        self._on_refusal(pushback)
        message = f"{self._peer}: {pushback.reason or 'there is no room for another stream'}"
        log.info("%s; %d wait for %g s", message, len(self._pending), pushback.seconds)
        lost = Unanswered(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, message), sent=False)
        for item_id in list(self._pending):
            self._answer(item_id, lost)

    def _break(self, reason: link_pb2.Failure) -> None:
        if self._pending:
            log.warning("%d under way when the stream ended: %s", len(self._pending), reason.message)
            self._on_break()
        gone = reason.code == grpc.StatusCode.UNAVAILABLE.value[0]
        for item_id, pending in list(self._pending.items()):
            if gone:
                self._answer(item_id, Unanswered(reason, sent=pending.sent))
            else:
                self._answer(item_id, self._failed(pending.item, reason))

    def _expect_progress(self) -> None:
        """An item is being written: some of it is to be taken, or something answered, before the timeout."""
        self._expect_nothing()
        self._stall_timer = asyncio.get_running_loop().call_later(self._timeout, self._stall)

    def _expect_nothing(self) -> None:
        if self._stall_timer:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _stall(self) -> None:
        message = f"{self._peer}: took nothing of what it is sent, and answered nothing, for {self._timeout:g} s"
        self._stalled = failure(grpc.StatusCode.DEADLINE_EXCEEDED, message)
        self._call.cancel()

    def _time_out(self, item_id: str) -> None:
        if pending := self._pending.get(item_id):
            message = f"{self._peer}: no answer within {self._timeout:g} s"
            self._answer(item_id, self._failed(pending.item, failure(grpc.StatusCode.DEADLINE_EXCEEDED, message)))

    def _answer(self, item_id: str, answer: Any) -> None:
        """Resolve an item's future once; an answer to an item that is not pending is late, or a bug of the peer."""
        pending = self._pending.pop(item_id, None)
        if pending is None:
            with logs.context(**logs.burst_ids(item_id)):
                log.warning("%s: an answer for %r, which is not under way", self._peer, item_id[:MAX_ID_LENGTH])
        elif pending.future.done():
            pass  # its caller was cancelled
        elif isinstance(answer, Unanswered):
            pending.future.set_exception(answer)
            pending.future.exception()  # mark as retrieved: the caller may have been cancelled
        else:
            pending.future.set_result(answer)


class _PendingItem:
    """An item without an answer so far."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sent = False


async def _quietly(awaitable: Any, seconds: float) -> None:
    """Await something whose outcome, its cancellation included, no longer matters, with a timeout; the cancellation of
    the caller is raised."""
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([task], timeout=seconds)  # raises nothing of the task: a cancellation here is the caller's
    finally:
        task.cancel()
    await asyncio.wait([task])
    with suppress(grpc.RpcError, asyncio.InvalidStateError, asyncio.CancelledError):
        task.result()
