"""The channel service: a simulated radio hop, and the RPCs that read and change its conditions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any

from panolink.phy import Channel, Clock, Conditions
from panolink.rpc.observability import logs, tracing
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.server.server import Server
from panolink.rpc.transport.carry import LinkEndpoint, link_client
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.rpc.wire.conditions import conditions_from_wire, whole_conditions_to_wire
from panolink.rpc.wire.status import code_named
from panolink.services.channel.settings import ChannelSettings
from panolink.services.channel.simulator import apply_channel
from panolink.v1 import channel_pb2, channel_pb2_grpc, link_pb2, link_pb2_grpc, node_pb2

log = logging.getLogger(__name__)


class LiveConditions:
    """Current channel conditions, shared by all streams."""

    def __init__(self, conditions: Conditions) -> None:
        self.change(conditions)

    def change(self, conditions: Conditions) -> None:
        """Replace the conditions and restart their clock."""
        self.conditions, self._since, self._passed = conditions, time.monotonic(), 0.0

    def now(self) -> float | None:
        """Seconds since the conditions were set; None if each stream has its own clock."""
        return time.monotonic() - self._since if self.conditions.clock == Clock.WALL else None

    def passed(self, conditions: Conditions, seconds: float) -> None:
        """Note the time at which a burst ended, unless other conditions have been set since it began."""
        if conditions is self.conditions:
            self._passed = seconds

    @property
    def seconds(self) -> float:
        """The time to tell: now, or the end of the burst that came last, by the streams' clocks."""
        now = self.now()
        return self._passed if now is None else now


class ChannelMetrics(ServiceMetrics):
    """Metrics of the channel, in addition to the common ones."""

    def __init__(self) -> None:
        super().__init__()
        self.erased_symbols = self.counter("erased_symbols", "Symbols in packets that were erased.")


class ChannelServicer(channel_pb2_grpc.ChannelServicer):
    """Servicer for reading and changing the conditions."""

    def __init__(self, live: LiveConditions) -> None:
        self._live = live

    async def GetConditions(
        self, request: channel_pb2.GetConditionsRequest, context: Any
    ) -> channel_pb2.GetConditionsResponse:
        conditions, seconds = self._live.conditions, self._live.seconds
        response = channel_pb2.GetConditionsResponse(
            conditions=whole_conditions_to_wire(conditions), notes=conditions.notes
        )
        if conditions.schedule is not None:
            response.in_force.conditions.CopyFrom(whole_conditions_to_wire(conditions.in_force(seconds)))
            response.in_force.seconds = seconds
        return response

    async def SetConditions(
        self, request: channel_pb2.SetConditionsRequest, context: Any
    ) -> channel_pb2.SetConditionsResponse:
        self._live.change(conditions_from_wire(request.conditions, self._live.conditions))
        conditions = self._live.conditions
        log.info("conditions are now %s", conditions)
        for note in conditions.notes:
            log.warning(note)
        return channel_pb2.SetConditionsResponse(
            conditions=whole_conditions_to_wire(conditions), notes=conditions.notes
        )


class ChannelHandler:
    """`BurstHandler` of one stream through the channel.

    Each stream has its own `Channel`: with a seed, its n-th burst is subject to the same fading and noise regardless
    of other streams. New conditions take effect, with a newly seeded generator, from the next burst on.
    """

    def __init__(
        self, live: LiveConditions, next_hop: Replicas, settings: ChannelSettings, metrics: ChannelMetrics
    ) -> None:
        self._live = live
        self._metrics = metrics
        self._channel = Channel(live.conditions)
        self._one_way = settings.one_way
        self._client = link_client(
            next_hop,
            timeout=settings.receipt_timeout_seconds,
            limits=settings.limits,
            metrics=metrics,
        )

    def check(self, header: link_pb2.BurstHeader) -> None:
        """Accept every burst."""

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        """Apply the channel to a burst and forward it to the next hop."""
        conditions = self._live.conditions
        if conditions is not self._channel.conditions:
            self._channel = Channel(conditions)
        start = time.monotonic()
        with logs.hop("channel", burst.header):
            passed, erased = await asyncio.to_thread(self._apply, burst, self._live.now())
            passed.header.traceparent = tracing.traceparent() or burst.header.traceparent
        seconds = time.monotonic() - start
        self._metrics.observe_stages({"channel": seconds})
        self._metrics.symbols.inc(len(burst.symbols))
        self._metrics.erased_symbols.inc(erased)
        self._metrics.observe_snr(passed.header.channel_state)
        burst_id = burst.header.burst_id
        return self._receipt(burst_id, await self._client.send(burst_id, passed, route=burst.header.stream_id), seconds)

    async def close(self) -> None:
        """Close the stream to the next hop."""
        await self._client.close()

    def _apply(self, burst: Burst, at: float | None) -> tuple[Burst, int]:
        passed, reception = apply_channel(self._channel, burst, at=at)
        self._live.passed(self._channel.conditions, self._channel.seconds)
        if self._one_way and not passed.header.harq.round:
            passed.header.ClearField("harq")  # without a return channel there are no retransmissions
        return passed, reception.erased_symbols

    async def _receipt(self, burst_id: str, pending: Awaitable[Receipt], seconds: float) -> Receipt:
        with logs.context(**logs.burst_ids(burst_id)):
            with self._metrics.in_flight.track_inprogress():
                receipt = await pending
            code = code_named(receipt.header.failure.code).name
            log.debug("burst passed on: %s", code, extra=logs.fields(code=code, seconds=round(seconds, 6)))
        receipt.header.one_way |= self._one_way
        receipt.header.seconds["channel"] += seconds
        self._metrics.count_segments(receipt.header.segments)
        return receipt


def build(settings: ChannelSettings) -> Server:
    """Build the channel service, ready to start."""
    metrics = ChannelMetrics()
    live = LiveConditions(settings.conditions)
    for note in settings.conditions.notes:
        log.warning(note)
    next_hop = Replicas(settings.target, settings.credentials, reconnect_timeout=settings.reconnect_seconds)
    next_hop.measure(metrics.replicas)

    def describe(response: node_pb2.DescribeResponse) -> None:
        response.target = settings.target

    server = Server("channel", settings, metrics, describe=describe)
    server.on_close(next_hop.close)
    link = LinkEndpoint(
        lambda: ChannelHandler(live, next_hop, settings, metrics),
        limits=settings.limits,
        streams=server.streams("link"),
        in_flight=settings.max_in_flight,
    )
    server.add(link_pb2_grpc.add_LinkServicer_to_server, link, "panolink.v1.Link")
    server.add(channel_pb2_grpc.add_ChannelServicer_to_server, ChannelServicer(live), "panolink.v1.Channel")
    return server
