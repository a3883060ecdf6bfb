"""Reconnecting streams to the replicas of a service, with exactly one answer per item.

Used by the transmitter and the channel for their next hop (bursts and receipts), and by the client for a transmitter
(panoramas and deliveries).
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
"""Broken connections after which an item that was sent completely each time is suspected to be the cause."""
_MIN_BACKOFF, _MAX_BACKOFF = 0.05, 0.5  # seconds between attempts while no replica is reachable


class RetryingClient(Generic[Item, Answer]):
    """Sends items and returns their answers, resending items whose stream broke.

    When a stream breaks because its replica went away, its pending items are resent to the next reachable replica, so
    servers must deduplicate items by id. While no replica is reachable, items wait for the replicas'
    `reconnect_timeout` and then fail with UNAVAILABLE. So do they while no replica has room for another
    stream, and then fail with RESOURCE_EXHAUSTED. Callers bound the number of items in flight (see
    `map_concurrent`).

    Parameters
    ----------
    replicas
        The servers. Each has its own stream, and items are spread over them (`Replicas.candidates`).
    open_call
        Starts a bidirectional call on a channel.
    messages
        Serializes an item.
    answers
        Parses the answers in a stream of messages; yields each with the id of its item.
    failed
        Makes the answer of an item that received none.
    peer
        What the replicas are, for messages: `next hop`.
    timeout
        Seconds from an item's last message to its answer; also the total time for resending it.
    on_break
        Called for each stream that breaks with items pending.
    on_resend
        Called for each item that is resent.
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

    async def send(self, item_id: str, item: Item, *, route: str = "") -> Awaitable[Answer]:
        """Send an item, subject to the peer's flow control.

        Parameters
        ----------
        item_id : str
        item : Item
        route : str
            Items with the same one go to the same server, as long as it is there; empty: they are spread over all.

        Returns
        -------
        awaitable
            The answer; it raises nothing.
        """
        return self._answer(item_id, item, route, *await self._deliver(item_id, item, route))

    async def close(self) -> None:
        """Close all streams; pending items are answered with failures."""
        streams, self._streams = list(self._streams.values()), {}
        await asyncio.gather(*(stream.close() for stream in streams))

    async def _answer(
        self, item_id: str, item: Item, route: str, replica: Replica | None, answer: Awaitable[Answer]
    ) -> Answer:
        breaks, start = 0, time.monotonic()
        while True:
            try:
                got = await answer
            except Unanswered as lost:
                # A replica that shuts down in order ends its streams first, and its connection later.
                breaks += lost.sent and replica is not None and not replica.connected
                if breaks >= MAX_BREAKS or time.monotonic() - start > self._timeout:
                    message = f"{lost} (sent again and again; {breaks} connections broke)"
                    return self._failed(item, failure(grpc.StatusCode.UNAVAILABLE, message))
                log.info("%s is sent again: %s", item_id, lost)
                self._on_resend()
                replica, answer = await self._deliver(item_id, item, route, lost.failure)
            else:
                if replica:
                    self._replicas.answered(replica)
                return got

    async def _deliver(
        self, item_id: str, item: Item, route: str, why: link_pb2.Failure | None = None
    ) -> tuple[Replica | None, Awaitable[Answer]]:
        """Send an item to the first candidate that accepts it; returns the replica (None: failed) and the answer."""
        if why is None:
            cannot = f"{self._peer} {self._replicas.target}: cannot be reached"
            why = self._replicas.last_failure or failure(grpc.StatusCode.UNAVAILABLE, cannot)
        backoff = _MIN_BACKOFF
        while True:
            for replica in await self._replicas.candidates(route or item_id, has_stream=self._has_stream):
                try:
                    answer = await (await self._stream(replica)).send(item_id, item)
                except Unanswered as lost:
                    why = lost.failure
                    continue
                if answer.done() and isinstance(lost := answer.exception(), Unanswered) and not lost.sent:
                    why = lost.failure
                    continue
                return replica, answer
            self._replicas.last_failure = why
            if self._replicas.unreachable:
                return None, _done(self._failed(item, why))
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _MAX_BACKOFF)

    def _has_stream(self, replica: Replica) -> bool:
        """Whether a stream to a replica is open."""
        stream = self._streams.get(replica)
        return stream is not None and not stream.ended

    async def _stream(self, replica: Replica) -> BidiStream[Item, Answer]:
        """Get or open the stream to a replica; idle streams to removed replicas are closed."""
        for known, stream in list(self._streams.items()):
            # Concurrent calls may have done the same during the await.
            if known not in self._replicas and not len(stream) and self._streams.get(known) is stream:
                del self._streams[known]
                await stream.close()
        stream = self._streams.get(replica)
        if stream is None or stream.ended:
            if replica not in self._replicas:  # removed in the meantime, and its channel accepts no more calls
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
                on_refusal=partial(self._replicas.refused, replica),
            )
        return stream

    def _broke(self, replica: Replica) -> None:
        self._replicas.broke(replica)
        self._on_break()


def _done(answer: Answer) -> asyncio.Future[Answer]:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    future.set_result(answer)
    return future
