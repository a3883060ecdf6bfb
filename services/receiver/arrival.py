"""Bursts that arrive: received once each, shown, answered."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable

import grpc

from panolink.errors import PanolinkError
from panolink.rpc import logs, tracing
from panolink.rpc.bursts import Burst, Receipt
from panolink.rpc.models import Models
from panolink.rpc.stages import in_order
from panolink.rpc.status import code_named, failure, failure_of
from panolink.v1 import link_pb2, receiver_pb2
from services.receiver.metrics import ReceiverMetrics
from services.receiver.pipeline import Pipeline, Reception
from services.receiver.recent import Recent
from services.receiver.settings import ReceiverSettings
from services.receiver.viewers import Shown, Viewers

log = logging.getLogger(__name__)


class Arrival:
    """The end of every stream of bursts: a `BurstHandler`, the same for all."""

    def __init__(
        self,
        models: Models,
        pipeline: Pipeline,
        viewers: Viewers,
        settings: ReceiverSettings,
        metrics: ReceiverMetrics,
    ) -> None:
        self._models = models
        self._pipeline = pipeline
        self._viewers = viewers
        self._metrics = metrics
        self._places = asyncio.Semaphore(settings.queue_size)
        metrics.queue_limit.labels("burst").set(settings.queue_size)
        self._taken = metrics.queue_depth.labels("burst")
        self._numbers = itertools.count(1)
        self._recent = Recent()

    def check(self, header: link_pb2.BurstHeader) -> None:
        """Refuse a burst whose model is not held here."""
        try:
            self._models.with_fingerprint(header.model_fingerprint)
        except PanolinkError:
            self._metrics.panoramas.labels("FAILED_PRECONDITION").inc()
            raise

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        """Take a burst as soon as there is a place for it; one that is sent again has its receipt already."""
        await self._places.acquire()
        burst_id = burst.header.burst_id
        if burst_id not in self._recent:
            self._taken.inc()
            return self._recent.begin(burst_id, self._receive(burst))
        self._places.release()
        self._metrics.repeats.inc()
        return self._recent.receipt(burst_id)

    async def close(self) -> None:
        """Nothing is kept for a stream."""

    async def _receive(self, burst: Burst) -> Receipt:
        try:
            with logs.hop("receive", burst.header):
                return await self._reconstruct(burst)
        finally:
            self._places.release()
            self._taken.dec()

    async def _reconstruct(self, burst: Burst) -> Receipt:
        header = burst.header
        reception = Reception()
        failed: link_pb2.Failure | None = None
        picture = b""
        try:
            with self._metrics.in_flight.track_inprogress():
                codec = self._models.with_fingerprint(header.model_fingerprint)
                await self._pipeline.receive(burst, codec, reception)
                if reception.header_lost:
                    message = f"burst {header.burst_id}: its header segment was lost on the way"
                    failed = failure(grpc.StatusCode.DATA_LOSS, message)
                elif header.return_picture or len(self._viewers):
                    picture = await self._pipeline.as_png(reception)
                    with tracing.span("publish"):
                        await self._viewers.publish(self._shown(header, reception, picture))
        except Exception as error:
            if not isinstance(error, PanolinkError):
                log.exception("burst %s failed", header.burst_id, extra=logs.facts(source=header.source))
            failed = failure_of(error, about=f"burst {header.burst_id}")
        finally:
            if reception.hold:
                reception.hold.release()
        receipt = link_pb2.ReceiptHeader(
            burst_id=header.burst_id,
            failure=failed,
            segments=reception.segments,
            seconds=reception.seconds,
            guessed_tokens=reception.guessed,
        )
        if header.channel_state.HasField("snr_db"):
            receipt.snr_db = header.channel_state.snr_db
        if reception.channel and reception.channel.snr_db is not None:
            receipt.measured_snr_db, receipt.fading = reception.channel
        self._measure(receipt, len(burst.symbols))
        _tell(receipt, header.source)
        return Receipt(receipt, picture if header.return_picture and failed is None else b"")

    def _shown(self, header: link_pb2.BurstHeader, reception: Reception, picture: bytes) -> Shown:
        assert reception.picture is not None
        height, width = reception.picture.shape[:2]
        shown = receiver_pb2.ReceivedPanoramaHeader(
            number=next(self._numbers),
            burst_id=header.burst_id,
            source=header.source,
            width=width,
            height=height,
            model_fingerprint=header.model_fingerprint,
            segments=reception.segments,
            guessed_tokens=reception.guessed,
            picture_bytes=len(picture),
        )
        if header.channel_state.HasField("snr_db"):
            shown.snr_db = header.channel_state.snr_db
        return Shown(shown, picture)

    def _measure(self, receipt: link_pb2.ReceiptHeader, symbols: int) -> None:
        metrics = self._metrics
        metrics.panoramas.labels(code_named(receipt.failure.code).name).inc()
        metrics.symbols.inc(symbols)
        metrics.guessed_tokens.inc(receipt.guessed_tokens)
        metrics.count_segments(receipt.segments)
        metrics.observe_stages(dict(receipt.seconds))
        if receipt.HasField("snr_db"):
            metrics.snr_db.set(receipt.snr_db)


def _tell(receipt: link_pb2.ReceiptHeader, source: str) -> None:
    """One line on what became of a burst, and the same for its trace."""
    code = code_named(receipt.failure.code).name
    sent, lost = (sum(getattr(count, name) for count in receipt.segments) for name in ("sent", "lost"))
    snr_db = receipt.snr_db if receipt.HasField("snr_db") else None
    tracing.annotate(code=code, segments_sent=sent, segments_lost=lost, guessed=receipt.guessed_tokens, snr_db=snr_db)
    told = logs.facts(
        code=code,
        source=source,
        snr_db=snr_db,
        segments_sent=sent,
        segments_lost=lost,
        guessed=receipt.guessed_tokens,
        seconds={stage: round(seconds, 6) for stage, seconds in in_order(receipt.seconds).items()},
    )
    if receipt.HasField("failure"):
        tracing.fail(receipt.failure.message)
        log.warning("not received: %s", receipt.failure.message, extra=told)
    else:
        log.info("received %r: %d of %d segments lost", source, lost, sent, extra=told)
