"""One client stream of the transmitter: encodes panoramas concurrently, sends bursts in order, awaits receipts."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from panolink.errors import PanolinkError
from panolink.rpc.flow_control.limits import MAX_ID_LENGTH, MAX_SOURCE_LENGTH, SlotAllocator, check_limit
from panolink.rpc.observability import logs, tracing
from panolink.rpc.transport.carry import link_client
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.rpc.wire.framing import Frame, chunks
from panolink.rpc.wire.status import failure_of
from panolink.services.transmitter.channel_feedback import ChannelFeedback
from panolink.services.transmitter.delivery_log import log_delivery
from panolink.services.transmitter.harq_sender import HarqSession
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.transmitter.panorama_encoding import PanoramaEncoding
from panolink.services.transmitter.pipeline import Pipeline
from panolink.services.transmitter.predicted_streams import PredictedStream, PredictedStreams
from panolink.services.transmitter.quality_monitor import QualityMonitor
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.v1 import link_pb2, transmitter_pb2

log = logging.getLogger(__name__)

_MOST_SKIPPED = 100_000
"""pictures that a source can have left out at a time: what a counter takes of a number that a stranger tells"""

_FASTEST = 1000.0
"""pictures a second that a source can want"""

_Sent: TypeAlias = "asyncio.Future[None]"  # done once a burst has been sent


@dataclass(frozen=True)
class Outcome:
    """A delivery with its pictures, ready to be serialized."""

    header: transmitter_pb2.DeliveryHeader
    activation: bytes = field(default=b"", repr=False)
    picture: bytes = field(default=b"", repr=False)

    def messages(self) -> Iterator[transmitter_pb2.Delivery]:
        """Serialize the delivery, filling in the sizes of its header."""
        self.header.activation_bytes, self.header.picture_bytes = len(self.activation), len(self.picture)
        yield transmitter_pb2.Delivery(header=self.header)
        for chunk in chunks(self.activation):
            yield transmitter_pb2.Delivery(activation=chunk)
        for chunk in chunks(self.picture):
            yield transmitter_pb2.Delivery(picture=chunk)


class StreamSession:
    """State of one client stream: panoramas are encoded concurrently, and their bursts sent in order.

    Every panorama waits for `previous`, a future that is done once the burst before it has been sent, and completes
    `sent`, its own.

    Parameters
    ----------
    pipeline
        Encodes panoramas to bursts.
    next_hop
        Where bursts go.
    settings, metrics
        Of the service.
    slots
        Allocates the number of the stream, for metrics.
    quality
        Samples the quality of received pictures.
    feedback
        Learns from receipts, for adaptive panoramas.
    streams
        Whose pictures are predicted from one another; those of all clients.

    Attributes
    ----------
    slot : int or None
        Number of the stream among the open ones, from its first panorama on.
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
        streams: PredictedStreams,
    ) -> None:
        self.slot: int | None = None
        self._feedback, self._streams = feedback, streams
        self._slots = slots
        self._quality = quality
        self._pipeline = pipeline
        self._metrics = metrics
        self._settings = settings
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._last_sent = _new_future()
        self._last_sent.set_result(None)
        self._client = link_client(
            next_hop,
            timeout=settings.receipt_timeout_seconds,
            limits=settings.limits,
            metrics=metrics,
        )

    async def accept(self, frame: Frame) -> Awaitable[Outcome]:
        """Accept a panorama; returns its awaitable delivery."""
        if self.slot is None:
            self.slot = self._slots.acquire()
        previous, self._last_sent = self._last_sent, _new_future()
        burst_id = panorama_name(frame.header) if frame.header.sender else f"{self._name}-{next(self._numbers)}"
        return self._deliver(frame, burst_id, previous, self._last_sent)

    async def close(self) -> None:
        """Release the slot and close the stream to the next hop."""
        if self.slot is not None:
            self._metrics.wanted_frame_rate.labels(str(self.slot)).set(0)
            self._slots.release(self.slot)
        await self._client.close()

    async def _deliver(self, frame: Frame, burst_id: str, previous: _Sent, sent: _Sent) -> Outcome:
        header: transmitter_pb2.PanoramaHeader = frame.header
        ids = {**logs.burst_ids(burst_id), "panorama_id": header.panorama_id}
        with (
            logs.context(**ids),
            tracing.span("transmit", parent=header.traceparent, kind="server", source=header.source, **ids),
        ):
            outcome = await self._encode_and_carry(frame, burst_id, previous, sent)
            log_delivery(outcome.header)
            return outcome

    async def _encode_and_carry(self, frame: Frame, burst_id: str, previous: _Sent, sent: _Sent) -> Outcome:
        header: transmitter_pb2.PanoramaHeader = frame.header
        start = time.monotonic()
        encoding = PanoramaEncoding(self._pipeline, header, burst_id)
        sampled = header.return_picture and self._quality.due()
        image = b""
        receipt: Receipt | None = None
        with self._metrics.in_flight.track_inprogress():
            try:
                image = bytes(frame.parts.pop("image"))
                if stream := self._stream_of(header):
                    encoding.stream, encoding.sequence = stream, header.sequence or next(stream.sequence)
                burst = await encoding.run(image)
            except Exception as error:
                previous.add_done_callback(lambda _: _complete(sent))
                encoding.delivery.failure.CopyFrom(failure_for(header, error))
            else:
                until = start + header.deadline_seconds if header.deadline_seconds else math.inf
                receipt = await self._carry(burst, encoding, until, previous, sent)
                if receipt.header.reference_needed and encoding.stream:
                    # The receiver has been restarted, or is another replica: the same picture again, and whole.
                    self._metrics.references_needed.inc()
                    try:
                        encoding, receipt = await self._carry_whole(header, image, burst_id, encoding, until, sent)
                    except PanolinkError as error:
                        log.warning("%s cannot be sent whole: %s", header.source, error)
                _add_receipt(encoding.delivery, receipt)
                if encoding.choice:
                    self._feedback.learn(receipt.header, encoding.choice)
        if encoding.delivery.HasField("stream"):
            self._metrics.count_stream(str(self.slot), encoding.delivery.stream)
        self._metrics.observe_stages(encoding.seconds)
        for stage, seconds in encoding.seconds.items():
            encoding.delivery.seconds[stage] += seconds
        encoding.delivery.seconds["total"] = time.monotonic() - start
        if sampled and receipt and receipt.picture:
            size = encoding.delivery.width * encoding.delivery.height
            self._quality.measure(image, receipt.picture, size, allow_any_aspect=header.allow_any_aspect)
        asked = header.return_picture  # a receiver may return what nobody wants
        return Outcome(encoding.delivery, encoding.activation, receipt.picture if receipt and asked else b"")

    def _stream_of(self, header: transmitter_pb2.PanoramaHeader) -> PredictedStream | None:
        if not header.stream_id:
            return None
        check_limit(len(header.stream_id), MAX_ID_LENGTH, "characters in a stream id")
        slot = str(self.slot)
        self._metrics.skipped_pictures.labels(slot).inc(min(header.skipped, _MOST_SKIPPED))
        wanted = header.frame_rate if 0 < header.frame_rate <= _FASTEST else 0.0
        self._metrics.wanted_frame_rate.labels(slot).set(wanted)
        codec = self._pipeline.models.named(header.model)
        return self._streams.get(header.sender or self._name, header.stream_id, codec)

    async def _carry_whole(
        self,
        header: transmitter_pb2.PanoramaHeader,
        image: bytes,
        burst_id: str,
        before: PanoramaEncoding,
        until: float,
        sent: _Sent,
    ) -> tuple[PanoramaEncoding, Receipt]:
        """Send a picture of a stream once more, under another id: what `before` said could not be decoded."""
        again = f"{burst_id[: MAX_ID_LENGTH - 1]}w"
        encoding = PanoramaEncoding(self._pipeline, header, again, before.stream, before.sequence)
        burst = await encoding.run(image)
        for stage, seconds in before.seconds.items():
            encoding.seconds[stage] = encoding.seconds.get(stage, 0.0) + seconds
        encoding.add_cost(before.delivery)
        return encoding, await self._carry(burst, encoding, until, sent, sent)

    async def _carry(
        self, burst: Burst, encoding: PanoramaEncoding, until: float, previous: _Sent, sent: _Sent
    ) -> Receipt:
        """Send a burst, and tell its stream what became of it."""
        receipt = Receipt.failed(burst.header.burst_id, link_pb2.Failure(code=1, message="not sent"))
        try:
            receipt = await self._exchange(burst, encoding, until, previous, sent)
            return receipt
        finally:
            if encoding.stream:
                await encoding.stream.answered(encoding.number, encoding.unsent, receipt.header)

    async def _exchange(
        self, burst: Burst, encoding: PanoramaEncoding, until: float, previous: _Sent, sent: _Sent
    ) -> Receipt:
        """Send a burst in order, and its HARQ retransmissions as soon as they are requested."""
        harq: HarqSession | None = None
        with tracing.span("carry", kind="client"):
            burst.header.traceparent = tracing.traceparent() or burst.header.traceparent
            try:
                await asyncio.shield(previous)
                if encoding.retransmitter:
                    patience = self._settings.receipt_timeout_seconds
                    harq = HarqSession(
                        encoding.retransmitter, encoding.delivery, encoding.rounds, until, patience, self._metrics
                    )
                    harq.announce()
                pending = await self._client.send(burst.header.burst_id, burst, route=burst.header.stream_id)
            finally:
                _complete(sent)
            receipt = await pending
            return await harq.run(receipt, self._send) if harq else receipt

    async def _send(self, burst: Burst) -> Receipt:
        return await (await self._client.send(burst.header.burst_id, burst, route=burst.header.stream_id))


def panorama_name(header: transmitter_pb2.PanoramaHeader) -> str:
    """Name of a panorama: globally unique if its sender has a name, otherwise unique within its stream."""
    return f"{header.sender}-{header.panorama_id}" if header.sender else header.panorama_id


def _add_receipt(delivery: transmitter_pb2.DeliveryHeader, receipt: Receipt) -> None:
    """Copy the outcome reported by a receipt into a delivery."""
    header = receipt.header
    if header.HasField("failure"):
        delivery.failure.CopyFrom(header.failure)
    if header.HasField("snr_db"):
        delivery.snr_db = header.snr_db
    if header.HasField("measured_snr_db"):
        delivery.measured_snr_db = header.measured_snr_db
    delivery.segments.extend(header.segments)
    delivery.concealed_tokens = header.concealed_tokens
    if delivery.HasField("stream"):
        delivery.stream.overtaken = header.overtaken
    for stage, seconds in header.seconds.items():
        delivery.seconds[stage] += seconds


def failure_for(header: transmitter_pb2.PanoramaHeader, error: Exception) -> link_pb2.Failure:
    """Status of a panorama that failed; errors other than `PanolinkError` are logged with their traceback."""
    source = header.source[:MAX_SOURCE_LENGTH] or header.panorama_id[:MAX_ID_LENGTH]
    if not isinstance(error, PanolinkError):
        log.error("%s failed", source, exc_info=error)
    return failure_of(error, about=source)


def _new_future() -> _Sent:
    return asyncio.get_running_loop().create_future()


def _complete(sent: _Sent) -> None:
    if not sent.done():
        sent.set_result(None)
