"""Handler of received bursts: deduplicates, decodes with HARQ, publishes, and answers each with a receipt."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING

import grpc

from panolink.errors import BitstreamError, ConflictError, PanolinkError
from panolink.picture_format import PictureFormat
from panolink.rpc.observability import logs, tracing
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.rpc.wire.bursts import Burst, Receipt, ends_harq
from panolink.rpc.wire.decoders import set_realism
from panolink.rpc.wire.gazes import focus_to_wire
from panolink.rpc.wire.picture_formats import picture_format_from_wire
from panolink.rpc.wire.stages import in_order
from panolink.rpc.wire.status import code_named, failure, failure_of
from panolink.services.receiver.harq_buffer import HarqBuffer, PendingBurst
from panolink.services.receiver.metrics import ReceiverMetrics
from panolink.services.receiver.pipeline import BurstState, Pipeline
from panolink.services.receiver.receipt_cache import ReceiptCache
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.receiver.stream_arrivals import StreamArrivals
from panolink.services.receiver.stream_order import StreamOrder, Turn
from panolink.services.receiver.watchers import WatchedPanorama, Watchers, Wish
from panolink.v1 import link_pb2, receiver_pb2

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

log = logging.getLogger(__name__)


class BurstReceiver:
    """`BurstHandler` of the receiver, shared by all streams."""

    def __init__(
        self,
        models: ModelRegistry,
        pipeline: Pipeline,
        watchers: Watchers,
        settings: ReceiverSettings,
        metrics: ReceiverMetrics,
    ) -> None:
        self._models = models
        self._pipeline = pipeline
        self._watchers = watchers
        self._metrics = metrics
        self._queue_slots = asyncio.Semaphore(settings.queue_size)
        self._most_concluding, self._concluding, self._concluded = settings.queue_size, 0, asyncio.Event()
        metrics.queue_limit.labels("burst").set(settings.queue_size)
        self._queued = metrics.queue_depth.labels("burst")
        self._numbers = itertools.count(1)
        self._recent = ReceiptCache()
        self._rounds = HarqBuffer(
            limit_bytes=settings.harq_bytes, longest_wait=settings.harq_wait_seconds, give_up=self._give_up
        )
        self._arrivals = StreamArrivals(metrics)
        self._order = StreamOrder()
        metrics.stream_states.set_function(lambda: len(pipeline.streams))
        metrics.stream_state_bytes.set_function(lambda: pipeline.streams.bytes)
        metrics.harq_waiting.set_function(lambda: len(self._rounds))
        metrics.harq_held_bytes.set_function(lambda: self._rounds.bytes)

    def check(self, header: link_pb2.BurstHeader) -> None:
        """Reject a burst whose model is not loaded."""
        try:
            self._models.with_fingerprint(header.model_fingerprint)
        except PanolinkError:
            self._metrics.panoramas.labels("FAILED_PRECONDITION").inc()
            raise

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        """Accept a burst or HARQ round once the queue has capacity; a duplicate is answered from the cache."""
        while self._concluding >= self._most_concluding:  # those that the HARQ buffer has given up have no slots
            self._concluded.clear()
            await self._concluded.wait()
        await self._queue_slots.acquire()
        try:
            answer = self._known(burst.header)
        except BaseException:
            self._queue_slots.release()
            raise
        if answer is not None:
            self._queue_slots.release()
            return answer
        self._queued.inc()
        header = burst.header
        let_go = burst.reservation.held() if burst.reservation else _nothing
        if not header.HasField("harq"):
            receive = self._receive(burst, let_go, self._order.begin(header.stream_id, header.sequence))
            return self._recent.begin(header.burst_id, receive, digest=header.content_digest)
        waiting = self._rounds.get(header.burst_id)
        if waiting is None:
            waiting = self._rounds.open(header)
            waiting.turn = self._order.begin(header.stream_id, header.sequence)
        return waiting.begin(header.harq.round, self._receive_round(burst, waiting, let_go))

    async def close(self) -> None:
        """No state is kept per stream."""

    async def finish(self) -> None:
        """Complete bursts waiting for retransmissions; to be called once all streams have ended."""
        await asyncio.gather(*(self._finish(waiting, "closing") for waiting in self._rounds))

    def _known(self, header: link_pb2.BurstHeader) -> Awaitable[Receipt] | None:
        """Answer to a burst or round that need not be decoded; None if it must be."""
        if header.burst_id in self._recent:
            self._check_content(header, self._recent.digest(header.burst_id))
            self._metrics.repeats.inc()
            return self._recent.receipt(header.burst_id)
        number, waiting = header.harq.round, self._rounds.get(header.burst_id)
        if waiting is None and number:
            self._metrics.harq_unknown.inc()
            return _first_round_needed(header)
        if waiting is None:
            return None
        self._check_content(header, waiting.header.content_digest)
        if ends_harq(header) or not header.HasField("harq"):
            return self._finish(waiting, "asked")
        if answer := waiting.answer(number):
            self._metrics.repeats.inc()
            return answer
        if waiting.busy or number < waiting.last:
            raise BitstreamError(
                f"round {number} of a burst came while its round {waiting.last} was decoded, or after it"
            )
        return None

    def _check_content(self, header: link_pb2.BurstHeader, known: bytes) -> None:
        """Refuse a burst under an id that is known for other content."""
        if header.content_digest != known:
            self._metrics.panoramas.labels("ALREADY_EXISTS").inc()
            raise ConflictError(
                f"burst {header.burst_id}: this id was used before, for other content; every panorama needs an "
                "id of its own, and every sender a name of its own"
            )

    async def _receive(self, burst: Burst, let_go: Callable[[], None], turn: Turn) -> Receipt:
        """Decode a burst, whether or not its stream lasts; `let_go`: of its memory."""
        reception = BurstState()
        try:
            with logs.hop("receive", burst.header):
                await self._demodulate(burst, reception)
                return await self._reconstruct(burst.header, reception, turn)
        finally:
            turn.end()
            let_go()
            self._queue_slots.release()
            self._queued.dec()

    async def _receive_round(self, burst: Burst, waiting: PendingBurst, let_go: Callable[[], None]) -> Receipt:
        """Decode a round; request a retransmission, or complete the burst."""
        header, reception, why = burst.header, waiting.reception, "rounds"
        try:
            with logs.hop("hear", header):
                error = await self._demodulate(burst, reception)
                if error and header.harq.round:
                    log.warning("round %d is of no use: %s", header.harq.round, error)
                    why = "refused"
                elif header.harq.round:
                    self._metrics.harq_rounds.inc()
                needed = [] if error else reception.needed
                if needed and header.harq.rounds_left and self._rounds.wait(waiting, header.harq.wait_seconds):
                    return Receipt(_receipt(header, reception, needed=needed))
            self._give_up(waiting, why)
            return await self._recent.receipt(header.burst_id)
        finally:
            if header.burst_id not in self._recent:  # it waits for another round
                waiting.end_turn()
            let_go()
            self._queue_slots.release()
            self._queued.dec()

    async def _overtake(self, header: link_pb2.BurstHeader) -> None:
        """Show the pictures of a stream that wait for another round, before a later one that is there.

        A viewer sees them with what was lost concealed; once the later one has been shown it would see them not at all.
        """
        if not header.stream_id or not header.sequence:
            return
        for waiting in self._rounds:
            earlier = waiting.header.stream_id == header.stream_id and waiting.header.sequence < header.sequence
            if earlier and waiting.turn is None:
                waiting.overtaken = True
                await self._finish(waiting, "overtaken")

    async def _finish(self, waiting: PendingBurst, why: str) -> Receipt:
        """Complete a burst without further rounds; returns its receipt."""
        while waiting.busy and (answer := waiting.answer(waiting.last)):
            await answer
        self._give_up(waiting, why)
        return await self._recent.receipt(waiting.header.burst_id)

    def _give_up(self, waiting: PendingBurst, why: str) -> None:
        """Stop waiting, and complete the burst from the segments received so far."""
        header = waiting.header
        if header.burst_id in self._recent:
            return
        self._rounds.end(waiting)
        if waiting.reception.needed:
            self._metrics.harq_given_up.labels(why).inc()
        if waiting.reception.decoder:
            waiting.reception.decoder.forget_soft_bits()
        self._concluding += 1
        # One that is overtaken goes within the turn of the later picture, which waits for it.
        turn = waiting.turn or self._order.begin("" if waiting.overtaken else header.stream_id, header.sequence)
        self._recent.begin(header.burst_id, self._conclude(waiting, turn), digest=header.content_digest)

    async def _conclude(self, waiting: PendingBurst, turn: Turn) -> Receipt:
        try:
            with logs.hop("receive", waiting.header):
                return await self._reconstruct(waiting.header, waiting.reception, turn)
        finally:
            turn.end()
            self._concluding -= 1
            self._concluded.set()

    async def _demodulate(self, burst: Burst, reception: BurstState) -> Exception | None:
        """Demodulate a burst or a round; returns its error. An error in a first round fails the burst."""
        self._metrics.symbols.inc(len(burst.symbols))
        try:
            with self._metrics.in_flight.track_inprogress():
                await self._pipeline.hear(burst, reception)
        except Exception as error:
            if reception.decoder is None:
                reception.error = error
            elif not isinstance(error, PanolinkError):
                log.exception("burst %s: round %d failed", burst.header.burst_id, burst.header.harq.round)
            return error
        return None

    async def _reconstruct(self, header: link_pb2.BurstHeader, reception: BurstState, turn: Turn) -> Receipt:
        failed: link_pb2.Failure | None = None
        picture = b""
        try:
            await turn.to_unpack()
            with self._metrics.in_flight.track_inprogress():
                if reception.error:
                    raise reception.error
                codec = self._models.with_fingerprint(header.model_fingerprint)
                if reception.header_lost:
                    message = f"burst {header.burst_id}: its header segment was lost on the way"
                    failed = failure(grpc.StatusCode.DATA_LOSS, message)
                elif reception.picture_unsent:
                    message = f"burst {header.burst_id}: no segment of its picture was sent"
                    failed = failure(grpc.StatusCode.DATA_LOSS, message)
                else:
                    await self._overtake(header)
                    await self._pipeline.unpack(codec, reception, header.stream_id, header.sequence)
                turn.unpacked()
                if not failed:
                    picture = await self._deliver(codec, header, reception, turn)
        except Exception as error:
            if not isinstance(error, PanolinkError):
                log.exception("burst %s failed", header.burst_id, extra=logs.fields(source=header.source))
            failed = failure_of(error, about=f"burst {header.burst_id}")
        finally:
            if reception.reservation:
                reception.reservation.release()
        receipt = _receipt(header, reception, failed=failed)
        if header.stream_id:
            receipt.lost.extend(reception.lost)
            receipt.reference_needed = reception.reference_needed
            receipt.overtaken = reception.late
            receipt.gazes.extend(self._watchers.gazes.recent())
            self._metrics.references_needed.inc(reception.reference_needed)
        self._measure(receipt)
        _log_receipt(receipt, header.source)
        return Receipt(receipt, b"" if failed else picture)

    async def _deliver(self, codec: Codec, header: link_pb2.BurstHeader, reception: BurstState, turn: Turn) -> bytes:
        """Publish the picture, made by each of the decoders and in each of the formats that watchers have asked for;
        returns what the receipt brings.

        What only watchers have asked for and cannot be made, they miss: nobody else does. The room that is reserved is
        that of one picture and its files: what one decoder has made is gone before the next one's turn.
        """
        own, returned = self._models.realism_for(codec, None), picture_format_from_wire(header.picture_format)
        wanted: dict[float | None, dict[PictureFormat, set[Wish]]] = {}
        if header.return_picture:
            wanted[own] = {returned: set()}
        for wish in set() if reception.late else self._watchers.wishes:
            formats = wanted.setdefault(self._models.realism_for(codec, wish.realism), {})
            formats.setdefault(wish.format, set()).add(wish)
        watched = any(met for formats in wanted.values() for met in formats.values())
        number, tokens, answer, failed, counted = 0, b"", b"", None, False
        for realism, formats in wanted.items() or [(own, {})]:
            try:
                picture = await self._pipeline.reconstruct(codec, realism, reception)
            except Exception as error:
                if realism == own:
                    raise
                self._miss(error, header, [wish for wishes in formats.values() for wish in wishes])
                continue
            files: dict[PictureFormat, bytes] = {}
            for format, wishes in formats.items():
                try:
                    files[format] = await self._pipeline.as_file(reception, picture, format)
                except Exception as error:
                    self._miss(error, header, wishes)
                    if realism == own and header.return_picture and format == returned:
                        failed = error.with_traceback(None)  # which would hold the picture
            del picture
            await turn.to_show()
            if formats and not number:
                if watched and self._watchers.want_tokens:
                    tokens = await self._pipeline.tokens_as_file(reception)
                number = next(self._numbers)  # the same for all decoders: it is one panorama
            if realism == own and header.return_picture:
                answer = files.get(returned, b"")
            made = self._models.realism_made(codec, realism)
            with tracing.span("publish"):
                while files:
                    format, file = files.popitem()
                    shown = WatchedPanorama(_shown(header, reception, file, number, made), file, tokens)
                    await self._watchers.publish(shown, formats[format])
                    del file, shown
            if not counted:
                counted = True
                self._metrics.late.inc(reception.late)
                if not reception.late:
                    self._arrivals.shown(header.stream_id, header.captured_at)
        try:
            if failed:
                raise failed
        finally:
            del failed  # whose traceback holds this frame
        return answer

    def _miss(self, error: Exception, header: link_pb2.BurstHeader, wishes: Collection[Wish]) -> None:
        """Watchers get no picture as they have wished it; a bug is logged with its traceback."""
        self._watchers.miss(wishes)
        extra = logs.fields(source=header.source)
        log.warning("burst %s: not shown as asked for: %s", header.burst_id, error, extra=extra, exc_info=_bug(error))

    def _measure(self, receipt: link_pb2.ReceiptHeader) -> None:
        metrics = self._metrics
        metrics.panoramas.labels(code_named(receipt.failure.code).name).inc()
        metrics.concealed_tokens.inc(receipt.concealed_tokens)
        metrics.count_segments(receipt.segments)
        metrics.observe_stages(dict(receipt.seconds))
        metrics.observe_snr(receipt)


def _nothing() -> None:
    """What a burst without a reservation lets go of."""


def _bug(error: Exception) -> Exception | None:
    """An error whose traceback is wanted."""
    return None if isinstance(error, PanolinkError) else error


def _shown(
    header: link_pb2.BurstHeader, reception: BurstState, picture: bytes, number: int, realism: float | None
) -> receiver_pb2.ReceivedPanoramaHeader:
    """Header of a panorama as watchers get it."""
    assert reception.tokens
    shown = receiver_pb2.ReceivedPanoramaHeader(
        number=number,
        burst_id=header.burst_id,
        source=header.source,
        width=reception.tokens.width,
        height=reception.tokens.height,
        model_fingerprint=header.model_fingerprint,
        segments=reception.segments,
        concealed_tokens=reception.concealed,
        picture_bytes=len(picture),
        rounds=reception.rounds,
        captured_at=header.captured_at,
        focus=map(focus_to_wire, reception.focus),
    )
    set_realism(shown, realism)
    if header.channel_state.HasField("snr_db"):
        shown.snr_db = header.channel_state.snr_db
    return shown


def _receipt(
    header: link_pb2.BurstHeader,
    reception: BurstState,
    *,
    failed: link_pb2.Failure | None = None,
    needed: Sequence[int] = (),
) -> link_pb2.ReceiptHeader:
    """Receipt of a burst; or, with `needed` segments, the answer that requests a retransmission."""
    receipt = link_pb2.ReceiptHeader(burst_id=header.burst_id, failure=failed, rounds=reception.rounds, needed=needed)
    if header.channel_state.HasField("snr_db"):
        receipt.snr_db = header.channel_state.snr_db
    if (channel := reception.channel) and channel.snr_db is not None:
        receipt.measured_snr_db, receipt.fading = channel.snr_db, channel.fading
    if not needed:
        receipt.segments.extend(reception.segments)
        receipt.seconds.update(reception.seconds)
        receipt.concealed_tokens = reception.concealed
    return receipt


async def _first_round_needed(header: link_pb2.BurstHeader) -> Receipt:
    """Answer to a retransmission round of an unknown burst."""
    return Receipt(link_pb2.ReceiptHeader(burst_id=header.burst_id, needs_first_round=True))


def _log_receipt(receipt: link_pb2.ReceiptHeader, source: str) -> None:
    """Log the outcome of a burst on one line, and annotate its span with it."""
    code = code_named(receipt.failure.code).name
    sent, lost = (sum(getattr(count, name) for count in receipt.segments) for name in ("sent", "lost"))
    snr_db = receipt.snr_db if receipt.HasField("snr_db") else None
    tracing.annotate(
        code=code, segments_sent=sent, segments_lost=lost, concealed=receipt.concealed_tokens, snr_db=snr_db
    )
    fields = logs.fields(
        code=code,
        source=source,
        snr_db=snr_db,
        segments_sent=sent,
        segments_lost=lost,
        concealed=receipt.concealed_tokens,
        rounds=receipt.rounds if receipt.rounds > 1 else None,
        seconds={stage: round(seconds, 6) for stage, seconds in in_order(receipt.seconds).items()},
    )
    if receipt.HasField("failure"):
        tracing.fail(receipt.failure.message)
        log.warning("not received: %s", receipt.failure.message, extra=fields)
    else:
        log.info("received %r: %d of %d segments lost", source, lost, sent, extra=fields)
