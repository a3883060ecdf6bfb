"""Metrics of the receiver."""

from __future__ import annotations

from panolink.rpc.observability.metrics import ServiceMetrics


class ReceiverMetrics(ServiceMetrics):
    """Metrics of the receiver, in addition to the common ones."""

    def __init__(self) -> None:
        super().__init__()
        self.panoramas = self.counter("panoramas", "Panoramas received, by gRPC status.", "code")
        self.panoramas.labels("OK")
        self.repeats = self.counter("repeats", "Bursts that were sent again, and known.")
        self.harq_rounds = self.counter("harq_rounds", "Later rounds of bursts that were received.")
        self.harq_unknown = self.counter("harq_unknown", "Later rounds of bursts that are not known here.")
        self.harq_given_up = self.counter(
            "harq_given_up", "Bursts that no other round came for while segments were missing, by reason.", "reason"
        )
        for reason in ("rounds", "asked", "waited", "memory", "refused", "closing"):
            self.harq_given_up.labels(reason)
        self.harq_waiting = self.gauge("harq_waiting", "Bursts between two rounds.")
        self.harq_held_bytes = self.gauge("harq_held_bytes", "Memory that bursts between two rounds take.")
        self.guessed_tokens = self.counter("guessed_tokens", "Tokens concealed because their segment was lost.")
