"""What a panorama may cost on the air, and what receipts have taught of the channel behind the target."""

from __future__ import annotations

from panolink.errors import RateError
from panolink.link.outer_loop import Controller, Feedback
from panolink.link.rate_allocation import SymbolBudget
from panolink.link.unequal_protection import HEADER_SNR_DB, Choice
from panolink.rpc.wire.segments import LAYER_NAMES
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.v1 import link_pb2, transmitter_pb2


class ChannelFeedback:
    """One controller for the channel behind the target, taught by the receipts of all streams."""

    def __init__(self, settings: TransmitterSettings, metrics: TransmitterMetrics) -> None:
        self._symbols_per_pixel = settings.symbols_per_pixel
        self._symbol_rate_hz = settings.symbol_rate_hz
        self._controller = Controller(
            snr_db=settings.initial_snr_db, header_snr_db=HEADER_SNR_DB, fall_db=settings.sudden_fade_db
        )
        self._metrics = metrics
        self._tell()

    def choice(self) -> Choice:
        """How the next adaptive panorama is to be sent."""
        return self._controller.choice()

    def budget(self, header: transmitter_pb2.PanoramaHeader, *, pixels: int) -> SymbolBudget | None:
        """Symbols that a panorama may take; None where nothing bounds them.

        Raises:
            RateError: `adaptive` together with a rate of the source.
            SignalError: a deadline, or symbols per pixel, that are not above 0 or leave no symbol.
        """
        rate = header.WhichOneof("rate")
        if header.adaptive and rate in ("bpp", "tau"):
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
        """Take in what became of a panorama that was sent with a choice.

        One that never arrived teaches nothing, and nothing does where the link has no way back.
        """
        if receipt.one_way or not receipt.segments:
            return
        known = receipt.HasField("measured_snr_db")
        self._controller.learn(
            Feedback(
                receipt.measured_snr_db if known else None,
                {  # what a later round made good was lost by this choice all the same; no choice saves erased packets
                    LAYER_NAMES[count.layer]: (count.sent - count.erased, count.lost + count.recovered - count.erased)
                    for count in receipt.segments
                    if count.layer in LAYER_NAMES
                },
                receipt.fading if known else None,
            ),
            sent_with,
        )
        self._tell()

    def _tell(self) -> None:
        choice, metrics = self.choice(), self._metrics
        metrics.counted_on_db.set(choice.snr_db)
        metrics.margin_db.set(choice.margin_db)
        metrics.base_layer_margin_db.set(choice.base_layer_margin_db)
        metrics.fading.set(choice.fading)
