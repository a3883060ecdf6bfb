"""Metrics of the receiver."""

from __future__ import annotations

from panolink.rpc.observability.metrics import FINE_SECONDS, ServiceMetrics


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
        for reason in ("rounds", "asked", "waited", "memory", "refused", "overtaken", "closing"):
            self.harq_given_up.labels(reason)
        self.viewers = self.gauge("viewers", "Viewers that watch.")
        self.stream_states = self.gauge("stream_states", "Streams of which states are held.")
        self.stream_state_bytes = self.gauge("stream_state_bytes", "Memory that the states of streams take.")
        self.references_needed = self.counter(
            "references_needed", "Pictures that were predicted from one that is not here."
        )
        self.stream_pictures = self.counter(
            "received_stream_pictures", "Pictures of streams handed to viewers, by slot.", "slot"
        )
        self.arrival_interval = self.histogram(
            "arrival_interval_seconds", "Between pictures of a stream, by slot.", FINE_SECONDS, "slot"
        )
        self.last_arrival = self.gauge(
            "last_arrival_timestamp_seconds", "When a stream's last picture was handed to viewers, by slot.", "slot"
        )
        for metric in (self.stream_pictures, self.arrival_interval):  # start at 0: the first picture is an increase too
            metric.labels("0")
        self.glass_to_glass = self.histogram(
            "glass_to_glass_seconds",
            "From when a picture was taken to when it is handed to viewers, where both clocks agree.",
            FINE_SECONDS,
        )
        self.refused_gazes = self.counter("refused_gazes", "Gazes of viewers that make no sense.")
        self.late = self.counter("late_pictures", "Pictures of streams that later ones had overtaken: not shown.")
        self.harq_waiting = self.gauge("harq_waiting", "Bursts between two rounds.")
        self.harq_held_bytes = self.gauge("harq_held_bytes", "Memory that bursts between two rounds take.")
        self.concealed_tokens = self.counter("concealed_tokens", "Tokens concealed because their segment was lost.")
