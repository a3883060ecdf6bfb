"""The transmitter service: panoramas in, deliveries out."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from panolink import phy
from panolink.codec.resolution import SMALLEST_SIDE
from panolink.errors import PanolinkError
from panolink.rpc.flow_control.limits import MAX_ID_LENGTH, MAX_LATER_ROUNDS, SlotAllocator, Streams, check_limit
from panolink.rpc.observability import logs, tracing
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.rpc.server.server import Server
from panolink.rpc.transport.carry import link_client
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.transport.stream_handler import serve_stream
from panolink.rpc.wire.bursts import Burst, Receipt, check_names
from panolink.rpc.wire.framing import Frame, chunks
from panolink.rpc.wire.segments import LAYER_NAMES
from panolink.rpc.wire.status import code_named, failure_of
from panolink.services.transmitter.channel_feedback import ChannelFeedback
from panolink.services.transmitter.delivery_log import QualityMonitor, log_delivery
from panolink.services.transmitter.harq_sender import HarqSession
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.transmitter.pipeline import Pipeline, Prepared
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.v1 import link_pb2, node_pb2, transmitter_pb2, transmitter_pb2_grpc

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A delivery, ready to be sent."""

    header: transmitter_pb2.DeliveryHeader
    activation: bytes = field(default=b"", repr=False)
    picture: bytes = field(default=b"", repr=False)

    def messages(self) -> Iterator[transmitter_pb2.Delivery]:
        self.header.activation_bytes, self.header.picture_bytes = len(self.activation), len(self.picture)
        yield transmitter_pb2.Delivery(header=self.header)
        for chunk in chunks(self.activation):
            yield transmitter_pb2.Delivery(activation=chunk)
        for chunk in chunks(self.picture):
            yield transmitter_pb2.Delivery(picture=chunk)


class TransmitterServicer(transmitter_pb2_grpc.TransmitterServicer):
    """Answers every panorama of every stream with one delivery."""

    def __init__(
        self,
        pipeline: Pipeline,
        next_hop: Replicas,
        streams: Streams,
        settings: TransmitterSettings,
        metrics: TransmitterMetrics,
        feedback: ChannelFeedback,
    ) -> None:
        self._pipeline = pipeline
        self._feedback = feedback
        self._next_hop = next_hop
        self._streams = streams
        self._settings = settings
        self._metrics = metrics
        self._slots = SlotAllocator()
        self._quality = QualityMonitor(settings.quality_share, metrics.vpsnr_db.observe, pipeline.memory)

    async def Transmit(self, request_iterator: Any, context: Any) -> AsyncIterator[transmitter_pb2.Delivery]:
        with self._streams.enter() as refusal:
            sending = StreamSession(
                self._pipeline,
                self._next_hop,
                self._settings,
                self._metrics,
                slots=self._slots,
                quality=self._quality,
                feedback=self._feedback,
            )
            outcomes = serve_stream(
                request_iterator,
                admit=self._admit,
                accept=sending.accept,
                failed=self._failed,
                item_id=lambda header: header.panorama_id,
                in_flight=self._settings.max_in_flight,
                stop=self._streams.draining,
                refusal=refusal,
                memory=self._streams.memory,
            )
            try:
                async with aclosing(outcomes):
                    async for outcome in outcomes:
                        self._measure(outcome.header, str(sending.slot))
                        for message in outcome.messages():
                            yield message
            finally:
                await sending.close()

    def _admit(self, header: transmitter_pb2.PanoramaHeader) -> Mapping[str, int]:
        check_names(_name(header), header.source, "panorama")
        check_limit(header.image_bytes, self._settings.max_image_bytes, "bytes in an image file")
        check_limit(header.harq, MAX_LATER_ROUNDS, "rounds of hybrid ARQ")
        return {"image": header.image_bytes}

    def _failed(self, header: transmitter_pb2.PanoramaHeader, error: Exception) -> Outcome:
        delivery = transmitter_pb2.DeliveryHeader(
            panorama_id=header.panorama_id, source=header.source, failure=_failure(header, error)
        )
        with logs.context(panorama_id=header.panorama_id[:MAX_ID_LENGTH]):
            log_delivery(delivery)
        return Outcome(delivery)

    def _measure(self, delivery: transmitter_pb2.DeliveryHeader, slot: str) -> None:
        metrics = self._metrics
        metrics.panoramas.labels(code_named(delivery.failure.code).name).inc()
        if delivery.symbols:
            metrics.pixels.inc(delivery.width * delivery.height)
            metrics.symbols.inc(delivery.symbols)
            metrics.bits_per_pixel.observe(delivery.bpp)
            metrics.symbols_per_pixel.observe(delivery.symbols_per_pixel)
            for count in delivery.bits:
                metrics.bits.labels(LAYER_NAMES[count.layer]).inc(count.bits)
            metrics.stream_bits.labels(slot).inc(sum(count.bits for count in delivery.bits))
            metrics.tokens.inc(delivery.tokens)
            metrics.kept_tokens.inc(delivery.kept)
            metrics.tau.set(delivery.kept / delivery.tokens)
            whole = math.ceil(delivery.width / SMALLEST_SIDE) * math.ceil(delivery.height / SMALLEST_SIDE)
            metrics.resolution.set(delivery.tokens / whole)
            metrics.count_schemes(delivery.schemes)
        metrics.count_segments(delivery.segments)
        if delivery.HasField("snr_db"):
            metrics.snr_db.set(delivery.snr_db)
        if not delivery.HasField("failure"):
            metrics.end_to_end.observe(delivery.seconds["total"])


Turn: TypeAlias = "asyncio.Future[None]"
"""Done when it is one's turn to send."""


def _turn() -> Turn:
    return asyncio.get_running_loop().create_future()


def _begin(turn: Turn) -> None:
    if not turn.done():
        turn.set_result(None)


class StreamSession:
    """One stream's way to the next hop: panoramas are prepared side by side, and sent in order.

    `slot` is the stream's number among those that are open, from its first panorama on.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        next_hop: Replicas,
        settings: TransmitterSettings,
        metrics: TransmitterMetrics,
        *,
        slots: SlotAllocator,
        quality: QualityMonitor,
        feedback: ChannelFeedback,
    ) -> None:
        self.slot: int | None = None
        self._feedback = feedback
        self._slots = slots
        self._quality = quality
        self._pipeline = pipeline
        self._metrics = metrics
        self._settings = settings
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._turn = _turn()
        self._turn.set_result(None)
        self._client = link_client(
            next_hop,
            timeout=settings.receipt_timeout_seconds,
            limits=settings.limits,
            metrics=metrics,
        )

    async def accept(self, frame: Frame) -> Awaitable[Outcome]:
        """Take a panorama; its delivery comes later."""
        if self.slot is None:
            self.slot = self._slots.acquire()
        mine, self._turn = self._turn, _turn()
        burst_id = _name(frame.header) if frame.header.sender else f"{self._name}-{next(self._numbers)}"
        return self._deliver(frame, burst_id, mine, self._turn)

    async def close(self) -> None:
        """The stream has ended, and with it the one to the next hop."""
        if self.slot is not None:
            self._slots.release(self.slot)
        await self._client.close()

    async def _deliver(self, frame: Frame, burst_id: str, mine: Turn, following: Turn) -> Outcome:
        header: transmitter_pb2.PanoramaHeader = frame.header
        ids = {**logs.burst_ids(burst_id), "panorama_id": header.panorama_id}
        with (
            logs.context(**ids),
            tracing.span("transmit", parent=header.traceparent, kind="server", source=header.source, **ids),
        ):
            outcome = await self._prepare_and_carry(frame, burst_id, mine, following)
            log_delivery(outcome.header)
            return outcome

    async def _prepare_and_carry(self, frame: Frame, burst_id: str, mine: Turn, following: Turn) -> Outcome:
        header: transmitter_pb2.PanoramaHeader = frame.header
        start = time.monotonic()
        prepared = Prepared(
            transmitter_pb2.DeliveryHeader(panorama_id=header.panorama_id, source=header.source),
            rounds=header.harq if header.HasField("harq") else self._settings.harq,
            analogue=header.analogue if header.HasField("analogue") else self._settings.analogue,
        )
        compared = header.return_picture and self._quality.due()
        image = b""
        receipt: Receipt | None = None
        with self._metrics.in_flight.track_inprogress():
            try:
                image = bytes(frame.parts.pop("image"))
                burst = await self._pipeline.prepare(header, image, burst_id, prepared)
            except Exception as error:
                mine.add_done_callback(lambda _: _begin(following))
                prepared.delivery.failure.CopyFrom(_failure(header, error))
            else:
                until = start + header.deadline_seconds if header.deadline_seconds else math.inf
                receipt = await self._carry(burst, prepared, until, mine, following)
                _add_receipt(prepared.delivery, receipt)
                if prepared.choice:
                    self._feedback.learn(receipt.header, prepared.choice)
        self._metrics.observe_stages(prepared.seconds)
        for stage, seconds in prepared.seconds.items():
            prepared.delivery.seconds[stage] += seconds
        prepared.delivery.seconds["total"] = time.monotonic() - start
        if compared and receipt and receipt.picture:
            size = prepared.delivery.width * prepared.delivery.height
            self._quality.measure(image, receipt.picture, size, allow_any_aspect=header.allow_any_aspect)
        return Outcome(prepared.delivery, prepared.activation, receipt.picture if receipt else b"")

    async def _carry(self, burst: Burst, prepared: Prepared, until: float, mine: Turn, following: Turn) -> Receipt:
        """Send a burst when it is its turn, and what of it is asked for again as soon as it is."""
        follower: HarqSession | None = None
        with tracing.span("carry", kind="client"):
            burst.header.traceparent = tracing.traceparent() or burst.header.traceparent
            try:
                await asyncio.shield(mine)
                if prepared.retransmitter:
                    patience = self._settings.receipt_timeout_seconds
                    follower = HarqSession(
                        prepared.retransmitter, prepared.delivery, prepared.rounds, until, patience, self._metrics
                    )
                    follower.announce()
                pending = await self._client.send(burst.header.burst_id, burst)
            finally:
                _begin(following)
            receipt = await pending
            return await follower.follow(receipt, self._send) if follower else receipt

    async def _send(self, burst: Burst) -> Receipt:
        return await (await self._client.send(burst.header.burst_id, burst))


def _name(header: transmitter_pb2.PanoramaHeader) -> str:
    """A panorama's name: its id on this stream, or for good where its sender has a name too."""
    return f"{header.sender}-{header.panorama_id}" if header.sender else header.panorama_id


def _add_receipt(delivery: transmitter_pb2.DeliveryHeader, receipt: Receipt) -> None:
    """Enter into a delivery what the receipt tells."""
    told = receipt.header
    if told.HasField("failure"):
        delivery.failure.CopyFrom(told.failure)
    if told.HasField("snr_db"):
        delivery.snr_db = told.snr_db
    if told.HasField("measured_snr_db"):
        delivery.measured_snr_db = told.measured_snr_db
    delivery.segments.extend(told.segments)
    delivery.guessed_tokens = told.guessed_tokens
    for stage, seconds in told.seconds.items():
        delivery.seconds[stage] += seconds


def _failure(header: transmitter_pb2.PanoramaHeader, error: Exception) -> link_pb2.Failure:
    """The status of a panorama that met an error; faults of ours are logged with their trace."""
    source = header.source or header.panorama_id
    if not isinstance(error, PanolinkError):
        log.error("%s failed", source, exc_info=error)
    return failure_of(error, about=source)


def build(settings: TransmitterSettings) -> Server:
    """The transmitter service, its models loaded, ready to start."""
    metrics = TransmitterMetrics()
    models = ModelRegistry(settings.models, device=settings.device, metrics=metrics)
    phy.warm_up(device=models.device)
    feedback = ChannelFeedback(settings, metrics)
    pipeline = Pipeline(models, settings, metrics, feedback)
    next_hop = Replicas(settings.target, settings.credentials, reconnect_timeout=settings.reconnect_seconds)
    next_hop.measure(metrics.replicas)

    def describe(response: node_pb2.DescribeResponse) -> None:
        models.describe(response)
        response.target = settings.target

    server = Server("transmitter", settings, metrics, describe=describe)
    server.on_close(pipeline.close)
    server.on_close(next_hop.close)
    servicer = TransmitterServicer(pipeline, next_hop, server.streams("transmit"), settings, metrics, feedback)
    server.add(transmitter_pb2_grpc.add_TransmitterServicer_to_server, servicer, "panolink.v1.Transmitter")
    return server
