"""Channel feedback: symbol budgets of panoramas, and link adaptation from receipts."""

from __future__ import annotations

import logging
from math import isfinite

from panolink.errors import RateError, SignalError
from panolink.link.outer_loop import Controller, Feedback
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import HEADER_SNR_DB, Choice
from panolink.rpc.wire.segments import LAYER_NAMES
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.v1 import link_pb2, transmitter_pb2

log = logging.getLogger(__name__)

MAX_RATES = {"bpp": 1e4, "symbols_per_pixel": 1e4, "deadline_seconds": 1e9}
"""What a panorama may be given at most: far more than any takes, and small enough to reckon with."""


class ChannelFeedback:
    """Outer-loop link adaptation for the channel behind the target, fed by the receipts of all streams."""

    def __init__(self, settings: TransmitterSettings, metrics: TransmitterMetrics) -> None:
        self._symbols_per_pixel = settings.symbols_per_pixel
        self._symbol_rate_hz = settings.symbol_rate_hz
        self._controller = Controller(
            snr_db=settings.initial_snr_db,
            header_snr_db=HEADER_SNR_DB,
            fall_db=settings.sudden_fade_db,
            memory_seconds=settings.channel_memory_seconds,
        )
        self._metrics = metrics
        self._update_metrics()

    def choice(self) -> Choice:
        """Protection of the next adaptive panorama."""
        return self._controller.choice()

    def budget(self, header: transmitter_pb2.PanoramaHeader, *, pixels: int) -> SymbolBudget | None:
        """Symbol budget of a panorama.

        Parameters
        ----------
        header
            Its rate, deadline and whether it is adaptive.
        pixels
            Its number of pixels.

        Returns
        -------
        SymbolBudget or None
            None: unlimited.

        Raises
        ------
        RateError
            `adaptive` together with a source rate (bpp or tau), or a bpp above `MAX_RATES`.
        SignalError
            A deadline or symbols per pixel that are not positive, above `MAX_RATES`, or leave no symbol.
        """
        rate = header.WhichOneof("rate")
        for name, most in MAX_RATES.items():
            if getattr(header, name) > most:
                error = RateError if name == "bpp" else SignalError
                raise error(f"{name} is {getattr(header, name):g}; allowed: above 0, up to {most:g}")
        if header.adaptive and rate in ("bpp", "mean_bits", "tau"):
            raise RateError(f"adaptive together with {rate}; allowed: symbols_per_pixel, a deadline, or neither")
        budgets = []
        if rate == "symbols_per_pixel":
            budgets.append(SymbolBudget.per_pixel(header.symbols_per_pixel, pixels=pixels))
        if header.deadline_seconds:
            budgets.append(SymbolBudget.within(header.deadline_seconds, symbol_rate_hz=self._symbol_rate_hz))
        if header.adaptive and not budgets:
            budgets.append(SymbolBudget.per_pixel(self._symbols_per_pixel, pixels=pixels))
        return min(budgets, key=lambda budget: budget.symbols, default=None)

    def learn(self, receipt: link_pb2.ReceiptHeader, sent_with: Choice) -> None:
        """Update the outer loop with the outcome of a panorama.

        Receipts of bursts that never arrived, of links without a return channel, and those that cannot be true (an SNR
        above what any receiver measures, more segments lost than sent, a failure without a code) are ignored. However
        low an SNR, it is learnt from, for it tells of a fade: the outer loop clips it.

        Parameters
        ----------
        receipt
            The outcome.
        sent_with
            The protection with which the panorama was sent.
        """
        if receipt.one_way or not receipt.segments:
            return
        if not _plausible(receipt):
            log.warning("a receipt that cannot be true is not learnt from")
            return
        known = receipt.HasField("measured_snr_db")
        self._controller.learn(
            Feedback(
                receipt.measured_snr_db if known else None,
                {  # recovered segments count as lost: the choice failed; erased ones do not: no choice would save them
                    LAYER_NAMES[count.layer]: (count.sent - count.erased, count.lost + count.recovered - count.erased)
                    for count in receipt.segments
                    if count.layer in LAYER_NAMES
                },
                receipt.fading if known else None,
            ),
            sent_with,
        )
        self._update_metrics()

    def _update_metrics(self) -> None:
        choice, metrics = self.choice(), self._metrics
        metrics.counted_on_db.set(choice.snr_db)
        metrics.margin_db.set(choice.margin_db)
        metrics.base_layer_margin_db.set(choice.base_layer_margin_db)
        metrics.fading.set(choice.fading)


def _plausible(receipt: link_pb2.ReceiptHeader) -> bool:
    """Whether a receipt's numbers could be those of a burst."""
    if receipt.HasField("measured_snr_db"):
        snr_db, fading = receipt.measured_snr_db, receipt.fading
        if not (isfinite(snr_db) and snr_db <= Controller.PLAUSIBLE_DB[1] and isfinite(fading) and fading >= 0):
            return False
    if receipt.HasField("failure") and not receipt.failure.code:
        return False
    return all(count.erased <= count.lost + count.recovered <= count.sent for count in receipt.segments)
