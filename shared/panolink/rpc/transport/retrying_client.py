"""Items to a service, shared out among its replicas, over streams that mend themselves; one answer for each.

The transmitter and the channel speak to their next hop through it (bursts and receipts), and the client to a
transmitter (panoramas and deliveries).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Generic, TypeVar

import grpc.aio

from panolink.rpc.transport.bidi_stream import BidiStream, Unanswered
from panolink.rpc.transport.load_balancer import Replica, Replicas
from panolink.rpc.wire.status import failure
from panolink.v1 import link_pb2

Item = TypeVar("Item")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

MAX_BREAKS = 3
"""An item that has been sent whole so often, over connections that broke, may be why they break."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5  # seconds between attempts while nobody is reachable


class RetryingClient(Generic[Item, Answer]):
    """Sends items and hands out the answer of each.

    Args:
        replicas: who may answer. Each is spoken to on a stream of its own, and items go round (`Replicas.in_turn`).
        open_call: starts a bidirectional stream on a connection.
        messages: the messages that make up an item.
        answers: the answers in a stream of messages, each with the id of its item.
        failed: the answer for an item that got none, from the reason.
        peer: what the replicas are, for messages: `next hop`.
        timeout: seconds from an item's last message to its answer, later ones are ignored; and for sending it again.
        on_break: told of each stream that breaks with items under way.
        on_resend: told of each item that is sent again.

    When a stream breaks because its replica went away, the items under way on it are sent again, to the first replica
    in turn that can be reached; so whoever answers has to know an item's id again. While none can be reached, items
    wait as long as the replicas' patience lasts, and then fail with UNAVAILABLE. How many items are under way is the
    caller's to bound (see `map_concurrent`).
    """

    def __init__(
        self,
        replicas: Replicas,
        *,
        open_call: Callable[[grpc.aio.Channel], Any],
        messages: Callable[[Item], Iterable[Any]],
        answers: Callable[[Any], AsyncIterator[tuple[str, Answer]]],
        failed: Callable[[Item, link_pb2.Failure], Answer],
        peer: str,
        timeout: float,
        on_break: Callable[[], None] = lambda: None,
        on_resend: Callable[[], None] = lambda: None,
    ) -> None:
        self._replicas = replicas
        self._open_call = open_call
        self._messages = messages
        self._answers = answers
        self._failed = failed
        self._peer = peer
        self._timeout = timeout
        self._on_break = on_break
        self._on_resend = on_resend
        self._streams: dict[Replica, BidiStream[Item, Answer]] = {}

    async def send(self, item_id: str, item: Item) -> Awaitable[Answer]:
        """Send an item as fast as the other side takes it; what is returned gives its answer, never an error."""
        return self._answer(item_id, item, *await self._deliver(item_id, item))

    async def close(self) -> None:
        """End all streams; items under way are answered with failures."""
        streams, self._streams = list(self._streams.values()), {}
        await asyncio.gather(*(stream.close() for stream in streams))

    async def _answer(self, item_id: str, item: Item, replica: Replica | None, answer: Awaitable[Answer]) -> Answer:
        breaks, start = 0, time.monotonic()
        while True:
            try:
                got = await answer
            except Unanswered as lost:
                # One that stops in good order ends its streams, and keeps the connection for a while.
                breaks += lost.sent and replica is not None and not replica.connected
                if breaks >= MAX_BREAKS or time.monotonic() - start > self._timeout:
                    message = f"{lost} (sent again and again; {breaks} connections broke)"
                    return self._failed(item, failure(grpc.StatusCode.UNAVAILABLE, message))
                log.info("%s is sent again: %s", item_id, lost)
                self._on_resend()
                replica, answer = await self._deliver(item_id, item, lost.failure)
            else:
                if replica:
                    self._replicas.answered(replica)
                return got

    async def _deliver(
        self, item_id: str, item: Item, why: link_pb2.Failure | None = None
    ) -> tuple[Replica | None, Awaitable[Answer]]:
        """Send an item to the first replica in turn that takes it: that one and its answer to come, or none and why."""
        if why is None:
            cannot = self._replicas.last_error or f"{self._peer} {self._replicas.target}: cannot be reached"
            why = failure(grpc.StatusCode.UNAVAILABLE, cannot)
        pause = _FIRST_PAUSE
        while True:
            for replica in await self._replicas.candidates(item_id):
                try:
                    answer = await (await self._stream(replica)).send(item_id, item)
                except Unanswered as lost:
                    why = lost.failure
                    continue
                if answer.done() and isinstance(lost := answer.exception(), Unanswered) and not lost.sent:
                    why = lost.failure
                    continue
                return replica, answer
            self._replicas.last_error = why.message
            if self._replicas.lost:
                return None, _done(self._failed(item, why))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _stream(self, replica: Replica) -> BidiStream[Item, Answer]:
        """The open stream to a replica, or a new one; those to replicas that have left end once they are idle."""
        for known, stream in list(self._streams.items()):
            # Others may have done the same while we waited for the end of one.
            if known not in self._replicas and not len(stream) and self._streams.get(known) is stream:
                del self._streams[known]
                await stream.close()
        stream = self._streams.get(replica)
        if stream is None or stream.ended:
            if replica not in self._replicas:  # it has left while its turn came, and its connection takes no more calls
                raise Unanswered(
                    failure(grpc.StatusCode.UNAVAILABLE, f"{self._peer} {replica.address} has left"), sent=False
                )
            stream = self._streams[replica] = BidiStream(
                self._open_call(replica.channel),
                messages=self._messages,
                answers=self._answers,
                failed=self._failed,
                peer=f"{self._peer} {replica.address}",
                timeout=self._timeout,
                on_break=partial(self._broke, replica),
            )
        return stream

    def _broke(self, replica: Replica) -> None:
        self._replicas.broke(replica)
        self._on_break()


def _done(answer: Answer) -> asyncio.Future[Answer]:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    future.set_result(answer)
    return future
