"""Hybrid ARQ sender: retransmits the segments requested by the receiver, within deadline and symbol budget."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
import numpy as np

from panolink.phy.harq import HarqSender
from panolink.phy.mcs import SegmentFormat
from panolink.phy.modem.channel_estimation import pilot_count
from panolink.rpc.observability import logs
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.rpc.wire.status import failure
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.v1 import link_pb2, transmitter_pb2

log = logging.getLogger(__name__)

_GRACE_SECONDS = 2.0  # for a round in flight when the deadline passes
_MAX_RESTARTS = 3  # a receiver that lost its state this often has other problems than the channel

Send = Callable[[Burst], Awaitable[Receipt]]


class Retransmitter:
    """Builds the retransmission rounds of a burst.

    Parameters
    ----------
    first
        The first round. Segments without payload, such as analogue ones, are never retransmitted.
    payloads, formats
        Of the segments with a payload, in order.
    """

    def __init__(self, first: Burst, payloads: Sequence[bytes], formats: Sequence[SegmentFormat]) -> None:
        self.first = first
        numbers = [number for number, segment in enumerate(first.header.segments) if segment.payload_bytes]
        self._formats = dict(zip(numbers, formats, strict=True))
        self._places = {number: place for place, number in enumerate(numbers)}
        self._sender = HarqSender(payloads, formats)

    def affordable(self, needed: Sequence[int], symbols: float) -> list[int]:
        """Select requested segments within a symbol budget, by importance of their layer.

        Parameters
        ----------
        needed
            Numbers of the requested segments.
        symbols
            Budget, pilots included; may be infinite.

        Returns
        -------
        list of int
            Ascending numbers.
        """
        chosen: list[int] = []
        taken = 0
        for number in sorted(set(needed) & self._formats.keys(), key=lambda n: (self._layer(n), n)):
            payload = taken + self._formats[number].symbols
            if payload + pilot_count(payload, self.first.header.pilot_spacing) <= symbols:
                chosen.append(number)
                taken = payload
        return sorted(chosen)

    def round(self, number: int, segments: Sequence[int], *, rounds_left: int, wait_seconds: float) -> Burst:
        """Build a retransmission round.

        Parameters
        ----------
        number
            Number of the round, from 1.
        segments
            Ascending numbers of its segments; none: the round ends the HARQ process.
        rounds_left
            Rounds that may follow.
        wait_seconds
            How long the receiver waits for the next one.
        """
        header = link_pb2.BurstHeader()
        header.CopyFrom(self.first.header)
        del header.segments[:]
        header.segments.extend(self.first.header.segments[i] for i in segments)
        header.harq.CopyFrom(
            link_pb2.Harq(round=number, rounds_left=rounds_left, wait_seconds=wait_seconds, numbers=segments)
        )
        if not segments:
            header.channel_state.Clear()
            return Burst(header, np.empty(0, np.complex64), np.empty(0, np.complex64))
        places = [self._places[i] for i in segments]
        symbols = self._sender.burst(places, number, pilot_spacing=header.pilot_spacing)
        header.channel_state.coherence_symbols = len(symbols)
        return Burst(header, np.ones(1, np.complex64), symbols)

    def _layer(self, number: int) -> int:
        return self.first.header.segments[number].layer


@dataclass
class HarqSession:
    """HARQ process of one burst, from its first round to its receipt.

    Attributes
    ----------
    retransmitter
        Builds the rounds.
    delivery
        Counts rounds and symbols.
    rounds
        Maximum number of retransmission rounds.
    until
        Deadline for retransmissions on the monotonic clock in seconds; infinite if there is none.
    patience
        Seconds for which the receiver waits for a round if there is no deadline.
    metrics
        Counts rounds, symbols and abandoned retransmissions.
    """

    retransmitter: Retransmitter
    delivery: transmitter_pb2.DeliveryHeader
    rounds: int
    until: float
    patience: float
    metrics: TransmitterMetrics

    def announce(self) -> None:
        """Announce the number of retransmission rounds in the first round; none if the deadline has passed."""
        rounds_left = 0 if self._late else self.rounds
        harq = link_pb2.Harq(rounds_left=rounds_left, wait_seconds=self._wait)
        self.retransmitter.first.header.harq.CopyFrom(harq)

    async def run(self, receipt: Receipt, send: Send) -> Receipt:
        """Retransmit until the receiver has what it needs, or nothing more may be sent.

        Parameters
        ----------
        receipt
            Answer to the first round.
        send
            Sends a round and returns its answer.

        Returns
        -------
        Receipt
            The final receipt, with the stage durations of all rounds.
        """
        number, starts, ended = 0, 1, False
        seconds: dict[str, float] = {}
        while receipt.header.needed or receipt.header.needs_first_round:
            for stage, duration in receipt.header.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + duration
            if receipt.header.needs_first_round:
                if starts == _MAX_RESTARTS:
                    return self._failed("the receiver has lost the first rounds of the burst again and again")
                starts, number = starts + 1, 0
                log.info("the receiver does not know the burst: it is sent from its first round on")
                burst = self._restart()
            elif ended:
                return self._failed("the receiver asks for segments after the last round")
            else:
                number += 1
                burst = await asyncio.to_thread(self._next, number, receipt.header.needed)
            ended = not burst.header.harq.rounds_left
            self._count(burst)
            receipt = await send(burst)
        for stage, duration in seconds.items():
            receipt.header.seconds[stage] += duration
        return receipt

    @property
    def _late(self) -> bool:
        return time.monotonic() >= self.until

    @property
    def _wait(self) -> float:
        """Seconds for which the receiver waits for the next round, should the connection break."""
        return min(max(self.until - time.monotonic(), 0) + _GRACE_SECONDS, self.patience)

    def _next(self, number: int, needed: Sequence[int]) -> Burst:
        """Next round: requested segments within the budget, or the end of the process."""
        budget, spent = self.delivery.symbol_budget, self.delivery.symbols
        left = budget - spent if budget else float("inf")
        late = self._late
        segments = [] if late else self.retransmitter.affordable(needed, left)
        why = "" if segments else "deadline" if late else "budget"
        if why:
            self.metrics.harq_given_up.labels(why).inc()
        fields = logs.fields(segments_needed=len(needed), segments_sent=len(segments), reason=why or None)
        log.info("round %d: %d of %d segments are sent again", number, len(segments), len(needed), extra=fields)
        rounds_left = self.rounds - number if segments else 0
        return self.retransmitter.round(number, segments, rounds_left=rounds_left, wait_seconds=self._wait)

    def _restart(self) -> Burst:
        """Resend the first round, as after a broken stream; it may exceed the symbol budget."""
        self.announce()
        return self.retransmitter.first

    def _count(self, burst: Burst) -> None:
        symbols = len(burst.symbols)
        if not symbols:
            return
        delivery = self.delivery
        delivery.rounds += 1
        delivery.retransmitted_symbols += symbols
        delivery.symbols += symbols
        delivery.symbols_per_pixel = delivery.symbols / (delivery.width * delivery.height)
        self.metrics.harq_rounds.inc()
        self.metrics.retransmitted_symbols.inc(symbols)

    def _failed(self, message: str) -> Receipt:
        burst_id = self.retransmitter.first.header.burst_id
        return Receipt.failed(burst_id, failure(grpc.StatusCode.UNAVAILABLE, f"burst {burst_id}: {message}"))
