"""Client and server sides of `Link.Carry`, which transports bursts to the next hop."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol

import grpc.aio

from panolink.errors import PanolinkError
from panolink.rpc.flow_control.limits import MAX_SOURCE_LENGTH, Limits
from panolink.rpc.flow_control.streams import Streams
from panolink.rpc.observability import logs
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.transport.retrying_client import RetryingClient
from panolink.rpc.transport.stream_handler import serve_stream
from panolink.rpc.wire.bursts import (
    Burst,
    Receipt,
    admit_burst,
    burst_from_frame,
    burst_messages,
    failed_receipt,
    receipt_messages,
    receipts,
)
from panolink.rpc.wire.framing import Frame
from panolink.rpc.wire.status import code_of, failure_of, one_line
from panolink.v1 import link_pb2, link_pb2_grpc

log = logging.getLogger(__name__)


def link_client(
    next_hop: Replicas, *, timeout: float, limits: Limits, metrics: ServiceMetrics
) -> RetryingClient[Burst, Receipt]:
    """Client that sends bursts to the next hop and returns their receipts.

    Parameters
    ----------
    timeout
        Seconds from a burst's last message to its receipt.
    limits
        Limits of received pictures.
    metrics
        Counts broken streams and resent bursts.
    """

    def carry(connection: grpc.aio.Channel) -> Any:
        stub: Any = link_pb2_grpc.LinkStub(connection)
        return stub.Carry()

    return RetryingClient(
        next_hop,
        open_call=carry,
        messages=burst_messages,
        answers=lambda messages: receipts(messages, limits),
        failed=failed_receipt,
        peer="next hop",
        timeout=timeout,
        on_break=metrics.link_breaks.inc,
        on_resend=metrics.resends.inc,
    )


class BurstHandler(Protocol):
    """Handles the bursts of one stream."""

    def check(self, header: link_pb2.BurstHeader) -> None:
        """Raise a `PanolinkError` to reject a burst before its samples are read."""

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        """Accept a burst; called in order, and applies back-pressure while it waits. Returns the awaitable receipt.

        The burst's memory stays reserved until its receipt is known, or the stream has broken; a handler that works on
        nevertheless holds the reservation (`Reservation.held`).
        """
        ...

    async def close(self) -> None:
        """Release the resources of a stream that has ended."""


class LinkEndpoint(link_pb2_grpc.LinkServicer):
    """Servicer that answers every burst with exactly one receipt.

    Parameters
    ----------
    open_handler
        Makes the handler of a new stream.
    limits
        Limits of a burst.
    streams
        Limits and drains the streams.
    in_flight
        Maximum number of bursts in flight on a stream, from the first byte of a burst to the last of its receipt.
    """

    def __init__(
        self, open_handler: Callable[[], BurstHandler], *, limits: Limits, streams: Streams, in_flight: int
    ) -> None:
        self._open_handler = open_handler
        self._limits = limits
        self._streams = streams
        self._in_flight = in_flight

    async def Carry(self, request_iterator: Any, context: Any) -> AsyncIterator[link_pb2.Receipt]:
        with self._streams.enter(context.peer()) as stream:
            handler = self._open_handler()

            def admit(header: link_pb2.BurstHeader) -> Any:
                sizes = admit_burst(header, self._limits)
                handler.check(header)
                return sizes

            async def accept(frame: Frame) -> Awaitable[Receipt]:
                return await handler.accept(burst_from_frame(frame))

            answers = serve_stream(
                request_iterator,
                admit=admit,
                accept=accept,
                failed=_failed,
                item_id=lambda header: header.burst_id,
                in_flight=self._in_flight,
                stop=self._streams.draining,
                refusal=stream.refusal,
                context=context,
                memory=self._streams.memory,
                answer_bytes=lambda receipt: len(receipt.picture),
                stream=stream,
            )
            try:
                async with aclosing(answers):
                    async for receipt in answers:
                        for message in receipt_messages(receipt):
                            yield message
            finally:
                await handler.close()


def _failed(header: link_pb2.BurstHeader, error: Exception) -> Receipt:
    """Log a failed burst, with a traceback unless it is a `PanolinkError`, and make its receipt."""
    extra = logs.fields(source=header.source[:MAX_SOURCE_LENGTH], code=code_of(error).name)
    with logs.context(**logs.burst_ids(header.burst_id)):
        if isinstance(error, PanolinkError):
            log.warning("burst refused: %s", one_line(error), extra=extra)
        else:
            log.error("burst failed", exc_info=error, extra=extra)
    return Receipt.failed(header.burst_id, failure_of(error, about=f"burst {header.burst_id}"))
