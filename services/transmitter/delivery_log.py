"""Log line and trace attributes of every delivery."""

from __future__ import annotations

import logging

from panolink.rpc.flow_control.limits import MAX_SOURCE_LENGTH
from panolink.rpc.observability import logs, tracing
from panolink.rpc.wire.segments import LAYER_NAMES
from panolink.rpc.wire.stages import in_order
from panolink.rpc.wire.status import code_named
from panolink.v1 import transmitter_pb2

log = logging.getLogger(__name__)


def log_delivery(delivery: transmitter_pb2.DeliveryHeader) -> None:
    """Log the outcome of a panorama on one line, and annotate its span with it."""
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
    fields = logs.fields(
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
        log.warning("not delivered: %s: %s", code, delivery.failure.message, extra=fields)
        return
    log.info(
        "delivered %r: %.4f bpp, %d of %d segments lost, %.0f ms",
        delivery.source,
        delivery.bpp,
        lost,
        sent,
        1000 * delivery.seconds["total"],
        extra=fields,
    )
