"""What only the receiver measures."""

from __future__ import annotations

from panolink.rpc.metrics import ServiceMetrics


class ReceiverMetrics(ServiceMetrics):
    """Metrics of the receiver."""

    def __init__(self) -> None:
        super().__init__()
        self.panoramas = self.counter("panoramas", "Panoramas received, by gRPC status.", "code")
        self.panoramas.labels("OK")
        self.repeats = self.counter("repeats", "Bursts that were sent again, and known.")
        self.guessed_tokens = self.counter("guessed_tokens", "Tokens guessed because their segment was lost.")
