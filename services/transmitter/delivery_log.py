"""What the transmitter tells of its panoramas beyond counts: a line for each, and the quality of some."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from panolink.images import load_panorama
from panolink.rpc.flow_control.limits import MAX_SOURCE_LENGTH
from panolink.rpc.flow_control.memory_budget import MemoryBudget
from panolink.rpc.observability import logs, tracing
from panolink.rpc.observability.stage_timing import in_order
from panolink.rpc.wire.deliveries import decode_png
from panolink.rpc.wire.segments import LAYER_NAMES
from panolink.rpc.wire.status import code_named
from panolink.v1 import transmitter_pb2

log = logging.getLogger(__name__)


def log_delivery(delivery: transmitter_pb2.DeliveryHeader) -> None:
    """One line on what became of a panorama, and the same for its trace."""
    code = code_named(delivery.failure.code).name
    sent, lost = (sum(getattr(count, name) for count in delivery.segments) for name in ("sent", "lost"))
    snr_db = delivery.snr_db if delivery.HasField("snr_db") else None
    cost: dict[str, float] = {"bpp": delivery.bpp, "symbols": delivery.symbols} if delivery.symbols else {}
    if delivery.symbols and delivery.HasField("adaptation"):
        cost |= {"tau": delivery.kept / delivery.tokens, "counted_on_db": delivery.adaptation.snr_db}
    if delivery.rounds > 1:
        cost |= {"rounds": delivery.rounds, "retransmitted_symbols": delivery.retransmitted_symbols}
    size = {"width": delivery.width, "height": delivery.height} if delivery.width else {}
    tracing.annotate(code=code, segments_sent=sent, segments_lost=lost, snr_db=snr_db, **size, **cost)
    told = logs.fields(
        code=code,
        source=delivery.source[:MAX_SOURCE_LENGTH],
        model=delivery.model or None,
        snr_db=snr_db,
        segments_sent=sent,
        segments_lost=lost,
        bits={LAYER_NAMES[count.layer]: count.bits for count in delivery.bits} or None,
        seconds={stage: round(seconds, 6) for stage, seconds in in_order(delivery.seconds).items()} or None,
        **size,
        **cost,
    )
    if delivery.HasField("failure"):
        tracing.fail(delivery.failure.message)
        log.warning("not delivered: %s: %s", code, delivery.failure.message, extra=told)
        return
    log.info(
        "delivered %r: %.4f bpp, %d of %d segments lost, %.0f ms",
        delivery.source,
        delivery.bpp,
        lost,
        sent,
        1000 * delivery.seconds["total"],
        extra=told,
    )


class QualityMonitor:
    """Compares some of the pictures that come back with what was sent, off the way of the deliveries.

    Args:
        share: of the panoramas, evenly spread; 0 for none.
        observe: told the VPSNR of each, in dB.
        room: for the pixels of both pictures, while they are compared.

    One is compared at a time; those that come meanwhile are left out, for a measure must not become a load. Until then
    a panorama is kept as the file that it came as, and unpacked once more.
    """

    def __init__(self, share: float, observe: Callable[[float], None], memory: MemoryBudget) -> None:
        self._share = share
        self._observe = observe
        self._memory = memory
        self._owed = 1.0 - share  # the first is one of them
        self._running: asyncio.Task[None] | None = None

    def due(self) -> bool:
        """Whether the next panorama is one of those to compare; asked once for each."""
        self._owed = min(1.0, self._owed + self._share)
        if not self._share or self._owed < 1 or (self._running and not self._running.done()):
            return False
        self._owed -= 1
        return True

    def measure(self, sent: bytes, received_png: bytes, pixels: int, *, allow_any_aspect: bool = False) -> None:
        """Compare a panorama's file, of so many pixels, with what came back; the result comes later."""
        if self._running and not self._running.done():
            return
        self._running = asyncio.create_task(self._measure(sent, received_png, pixels, allow_any_aspect))

    async def _measure(self, sent: bytes, received_png: bytes, pixels: int, allow_any_aspect: bool) -> None:
        reservation = await self._memory.reserve(2 * pixels)
        try:
            self._observe(await asyncio.to_thread(_vpsnr, sent, received_png, pixels, allow_any_aspect))
        except Exception:  # a fault of ours that costs a measurement, not a panorama
            log.exception("the quality of a picture could not be measured")
        finally:
            reservation.release()


def _vpsnr(sent: bytes, received_png: bytes, pixels: int, allow_any_aspect: bool) -> float:
    from panolink.metrics.viewport import vpsnr

    picture = load_panorama(sent, allow_any_aspect=allow_any_aspect, max_pixels=pixels)
    return vpsnr(picture, decode_png(received_png, "RGB"))
