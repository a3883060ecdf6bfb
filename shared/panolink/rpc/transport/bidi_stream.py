"""One stream of items to a service, and their answers. It breaks once; `RetryingClient` opens the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc.aio

from panolink.errors import PanolinkError
from panolink.rpc.observability import logs
from panolink.rpc.transport.connection import tls_refusal
from panolink.rpc.wire.status import failure
from panolink.v1 import link_pb2

Item = TypeVar("Item")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

# What grpc.aio says, in place of the status, when a stream ends while we write to it (grpc/grpc#36066).
_WRITE_LOST = "Internal error from Core"


class Unanswered(Exception):  # noqa: N818 - an outcome, which is no error as long as the item can be sent again
    """The stream broke before an item's answer came: how, and whether the other side may have the whole item."""

    def __init__(self, failure: link_pb2.Failure, *, sent: bool) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.sent = sent


class BidiStream(Generic[Item, Answer]):
    """A call with items under way on it.

    Args:
        call: a bidirectional stream, just begun.
        messages: the messages that make up an item.
        answers: the answers in a stream of messages, each with the id of its item.
        failed: the answer for an item that got none, from the reason.
        peer: the other side, for messages: `next hop 127.0.0.1:50053`.
        timeout: seconds from an item's last message to its answer; later ones are ignored.
        on_break: told when the stream breaks with items under way.

    When the peer goes away (UNAVAILABLE), what is under way becomes `Unanswered`. When it ends the stream for another
    reason, that is every item's answer.
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
    ) -> None:
        self.ended = False
        self._call = call
        self._messages = messages
        self._answers = answers
        self._failed = failed
        self._peer = peer
        self._timeout = timeout
        self._on_break = on_break
        self._pending: dict[str, _PendingItem] = {}
        self._writing = asyncio.Lock()
        self._reader = asyncio.create_task(self._read())

    def __len__(self) -> int:
        return len(self._pending)

    async def send(self, item_id: str, item: Item) -> asyncio.Future[Answer]:
        """Send an item as fast as the other side takes it; the future becomes its answer, or raises `Unanswered`."""
        async with self._writing:
            if self.ended:  # while we waited for our turn
                raise Unanswered(failure(grpc.StatusCode.UNAVAILABLE, f"{self._peer} is gone"), sent=False)
            under_way = self._pending[item_id] = _PendingItem(item)
            try:
                for message in self._messages(item):
                    if under_way.future.done():  # refused early, or the stream broke: the rest is of no use
                        break
                    await self._call.write(message)
                else:
                    under_way.sent = True
            except (grpc.RpcError, asyncio.InvalidStateError):
                await asyncio.wait([under_way.future])  # the stream has ended; its reader answers all that is pending
            except BaseException:
                self._pending.pop(item_id, None)
                raise
        timer = asyncio.get_running_loop().call_later(self._timeout, self._time_out, item_id)
        under_way.future.add_done_callback(lambda _: timer.cancel())
        return under_way.future

    async def close(self) -> None:
        """End the stream; what is under way is answered with failures."""
        if not self._pending and not self.ended:
            await _quietly(self._call.done_writing(), 1.0)
            await _quietly(asyncio.shield(self._reader), 1.0)
        self._call.cancel()
        await _quietly(self._reader, 1.0)

    async def _read(self) -> None:
        reason = failure(grpc.StatusCode.UNAVAILABLE, f"{self._peer} ended the stream without an answer")
        try:
            async for item_id, answer in self._answers(self._call):
                self._answer(item_id, answer)
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), tls_refusal(error) or error.details() or error.code().name
            if error.details() == _WRITE_LOST:
                code, details = grpc.StatusCode.UNAVAILABLE, "ended the stream while it was written to"
            elif code is grpc.StatusCode.CANCELLED:  # not by us, which raises CancelledError: it goes away
                code, details = grpc.StatusCode.UNAVAILABLE, "broke the stream off"
            reason = failure(code, f"{self._peer}: {details}")
        except asyncio.CancelledError:
            reason = failure(grpc.StatusCode.CANCELLED, f"{self._peer}: the stream was closed")
        except PanolinkError as error:
            reason = failure(grpc.StatusCode.INTERNAL, f"{self._peer}: {error}")
        finally:
            self.ended = True
            self._call.cancel()
            self._break(reason)

    def _break(self, reason: link_pb2.Failure) -> None:
        if self._pending:
            log.warning("%d under way when the stream ended: %s", len(self._pending), reason.message)
            self._on_break()
        gone = reason.code == grpc.StatusCode.UNAVAILABLE.value[0]
        for item_id, under_way in list(self._pending.items()):
            if gone:
                self._answer(item_id, Unanswered(reason, sent=under_way.sent))
            else:
                self._answer(item_id, self._failed(under_way.item, reason))

    def _time_out(self, item_id: str) -> None:
        if under_way := self._pending.get(item_id):
            message = f"{self._peer}: no answer within {self._timeout:g} s"
            self._answer(item_id, self._failed(under_way.item, failure(grpc.StatusCode.DEADLINE_EXCEEDED, message)))

    def _answer(self, item_id: str, answer: Any) -> None:
        """Resolve an item's future, once; an answer to nothing that is pending is too late or a fault."""
        under_way = self._pending.pop(item_id, None)
        if under_way is None:
            with logs.context(**logs.burst_ids(item_id)):
                log.warning("%s: an answer for %r, which is not under way", self._peer, item_id)
        elif under_way.future.done():
            pass  # whoever waited for it has gone
        elif isinstance(answer, Unanswered):
            under_way.future.set_exception(answer)
            under_way.future.exception()  # seen: asyncio need not complain if nobody waits for it any more
        else:
            under_way.future.set_result(answer)


class _PendingItem:
    """An item whose answer is still to come."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sent = False


async def _quietly(awaitable: Any, seconds: float) -> None:
    """Wait for the end of something whose outcome no longer matters."""
    with suppress(grpc.RpcError, asyncio.InvalidStateError, asyncio.CancelledError, TimeoutError):
        await asyncio.wait_for(awaitable, seconds)
