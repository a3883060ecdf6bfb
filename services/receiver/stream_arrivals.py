"""When pictures of streams arrive, by slot: what dashboards need to tell a stream that flows from one that stutters."""

from __future__ import annotations

import time
from collections.abc import Callable

from panolink.rpc.flow_control.limits import SlotAllocator
from panolink.rpc.wire.capture_times import age_of
from panolink.services.receiver.metrics import ReceiverMetrics

QUIET_SECONDS = 60.0
"""after which a stream has ended, and its slot is free"""

MOST_SLOTS = 64
"""streams that are told apart; more of them share `MORE`"""

MORE = "more"


class StreamArrivals:
    """Measures arrivals of streams' pictures.

    Parameters
    ----------
    metrics : ReceiverMetrics
    clock : callable
        Seconds; monotonic.
    now : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        metrics: ReceiverMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._metrics, self._clock, self._now = metrics, clock, now
        self._slots = SlotAllocator()
        self._streams: dict[str, tuple[int | None, float]] = {}

    def shown(self, stream_id: str, captured_at: float) -> None:
        """Note a picture that is handed to viewers.

        Parameters
        ----------
        stream_id : str
            Empty for a single picture, of which only the latency is measured.
        captured_at : float
            When it was taken, seconds since 1970 by its source's clock; 0: not known.
        """
        if (latency := age_of(captured_at, self._now())) is not None:
            self._metrics.glass_to_glass.observe(latency)
        if not stream_id:
            return
        at = self._clock()
        known = self._streams.pop(stream_id, None)
        if known is None:
            self._free(at)
            slot = self._slots.acquire() if len(self._streams) < MOST_SLOTS else None
        else:
            slot = known[0]
        label = MORE if slot is None else str(slot)
        if known:
            self._metrics.arrival_interval.labels(label).observe(at - known[1])
        self._streams[stream_id] = slot, at
        self._metrics.stream_pictures.labels(label).inc()
        self._metrics.last_arrival.labels(label).set(self._now())

    def _free(self, now: float) -> None:
        """Give back the slots of streams that have ended."""
        for stream_id, (slot, at) in list(self._streams.items()):
            if now - at > QUIET_SECONDS:
                del self._streams[stream_id]
                if slot is not None:
                    self._slots.release(slot)
