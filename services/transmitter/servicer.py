"""The transmitter service: serves streams of panoramas and returns their deliveries."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from panolink import phy
from panolink.codec.resolution import SMALLEST_SIDE
from panolink.rpc.flow_control.limits import (
    MAX_ID_LENGTH,
    MAX_LATER_ROUNDS,
    MAX_SOURCE_LENGTH,
    SlotAllocator,
    check_limit,
)
from panolink.rpc.flow_control.streams import Streams
from panolink.rpc.observability import logs
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.rpc.server.server import Server
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.transport.stream_handler import serve_stream
from panolink.rpc.wire.bursts import check_names
from panolink.rpc.wire.segments import LAYER_NAMES
from panolink.rpc.wire.status import code_named
from panolink.services.transmitter.channel_feedback import ChannelFeedback
from panolink.services.transmitter.delivery_log import log_delivery
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.transmitter.pipeline import Pipeline
from panolink.services.transmitter.predicted_streams import PredictedStreams
from panolink.services.transmitter.quality_monitor import QualityMonitor
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.services.transmitter.stream_session import Outcome, StreamSession, failure_for, panorama_name
from panolink.v1 import node_pb2, transmitter_pb2, transmitter_pb2_grpc


class TransmitterServicer(transmitter_pb2_grpc.TransmitterServicer):
    """Servicer that answers every panorama with exactly one delivery."""

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
        self._predicted = PredictedStreams(settings.stream_bytes)
        metrics.predicted_streams.set_function(lambda: len(self._predicted))
        metrics.predicted_state_bytes.set_function(lambda: self._predicted.bytes)
        self._next_hop = next_hop
        self._streams = streams
        self._settings = settings
        self._metrics = metrics
        self._slots = SlotAllocator()
        self._quality = QualityMonitor(
            settings.quality_share, metrics.vpsnr_db.observe, pipeline.memory, pipeline.decoder.decode
        )

    async def Transmit(self, request_iterator: Any, context: Any) -> AsyncIterator[transmitter_pb2.Delivery]:
        with self._streams.enter(context.peer()) as stream:
            session = StreamSession(
                self._pipeline,
                self._next_hop,
                self._settings,
                self._metrics,
                slots=self._slots,
                quality=self._quality,
                feedback=self._feedback,
                streams=self._predicted,
            )
            outcomes = serve_stream(
                request_iterator,
                admit=self._admit,
                accept=session.accept,
                failed=self._failed,
                item_id=lambda header: header.panorama_id,
                in_flight=self._settings.max_in_flight,
                stop=self._streams.draining,
                refusal=stream.refusal,
                context=context,
                memory=self._streams.memory,
                answer_bytes=lambda outcome: len(outcome.picture) + len(outcome.activation),
                stream=stream,
            )
            try:
                async with aclosing(outcomes):
                    async for outcome in outcomes:
                        self._measure(outcome.header, str(session.slot))
                        for message in outcome.messages():
                            yield message
            finally:
                await session.close()

    def _admit(self, header: transmitter_pb2.PanoramaHeader) -> Mapping[str, int]:
        check_names(panorama_name(header), header.source, "panorama")
        check_limit(header.image_bytes, self._settings.max_image_bytes, "bytes in an image file")
        check_limit(header.harq, MAX_LATER_ROUNDS, "rounds of hybrid ARQ")
        return {"image": header.image_bytes}

    def _failed(self, header: transmitter_pb2.PanoramaHeader, error: Exception) -> Outcome:
        delivery = transmitter_pb2.DeliveryHeader(
            panorama_id=header.panorama_id[:MAX_ID_LENGTH],  # longer ones are refused, and would not fit an answer
            source=header.source[:MAX_SOURCE_LENGTH],
            failure=failure_for(header, error),
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
            metrics.symbols_per_pixel.observe(delivery.symbols_per_pixel)
            for count in delivery.bits:
                metrics.coded_bytes.labels(LAYER_NAMES[count.layer]).inc(count.bits / 8)
            metrics.stream_bytes.labels(slot).inc(sum(count.bits for count in delivery.bits) / 8)
            metrics.tokens.inc(delivery.tokens)
            metrics.kept_tokens.inc(delivery.kept)
            metrics.tau.set(delivery.kept / delivery.tokens)
            whole = math.ceil(delivery.width / SMALLEST_SIDE) * math.ceil(delivery.height / SMALLEST_SIDE)
            metrics.resolution.set(delivery.tokens / whole)
            metrics.count_schemes(delivery.schemes)
        metrics.count_segments(delivery.segments)
        metrics.observe_snr(delivery)
        if not delivery.HasField("failure"):
            metrics.end_to_end.observe(delivery.seconds["total"])


def build(settings: TransmitterSettings) -> Server:
    """Load the models and build the transmitter service, ready to start."""
    metrics = TransmitterMetrics()
    models = ModelRegistry(
        settings.models,
        decoder=None,
        device=settings.device,
        metrics=metrics,
        band_pixels=settings.band_pixels,
        max_batch=settings.max_batch,
    )
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
