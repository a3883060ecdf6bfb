"""Prometheus metrics common to all services; each service has its own registry and adds its own metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)

from panolink.errors import LinkError
from panolink.rpc.addresses import split_address
from panolink.rpc.observability.device_metrics import usable_cpus
from panolink.rpc.observability.metrics_server import MetricsServer
from panolink.rpc.version import version
from panolink.rpc.wire.segments import LAYER_NAMES
from panolink.v1 import link_pb2

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Histogram buckets of durations in seconds, from a call to a network on a slow CPU."""

_FINE = (2.85, 3.25, 3.7, 4.2, 4.8, 5.5, 6.25, 7.1, 8.1, 9.0)
FINE_SECONDS = tuple(sorted((*SECONDS, *_FINE)))
"""Likewise, with neighbours from 2.5 to 10 s that are less than 15 % apart: so near is any quantile there."""


class RpcMetrics:
    """The usual gRPC server metrics, by method."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("grpc_type", "grpc_service", "grpc_method")
        self.started = Counter("grpc_server_started", "Calls begun.", labels, registry=registry)
        self.handled = Counter("grpc_server_handled", "Calls ended.", (*labels, "grpc_code"), registry=registry)
        self.received = Counter("grpc_server_msg_received", "Messages received.", labels, registry=registry)
        self.sent = Counter("grpc_server_msg_sent", "Messages sent.", labels, registry=registry)
        self.handling = Histogram(
            "grpc_server_handling_seconds", "Duration of calls.", labels, buckets=SECONDS, registry=registry
        )


class ServiceMetrics:
    """Metrics of transmitter, channel and receiver alike."""

    def __init__(self) -> None:
        self._http: MetricsServer | None = None
        self.registry = CollectorRegistry()
        self.rpc = RpcMetrics(self.registry)
        ProcessCollector(registry=self.registry)
        self.streams = self.gauge("streams", "Open streams.", "kind")
        self.tasks = self.gauge("tasks", "Tasks of the event loop.")
        self.in_flight = self.gauge("in_flight", "Panoramas or bursts under way in this service.")
        self.bytes_under_way = self.gauge("under_way_bytes", "Bytes of images or bursts under way on all streams.")
        self.pixels_under_way = self.gauge("under_way_pixels", "Pixels of panoramas that are unpacked.")
        self.queue_depth = self.gauge(
            "queue_depth", "Items that wait; in the fullest, where each model has its queue.", "queue"
        )
        self.queue_limit = self.gauge("queue_limit", "Items that may wait.", "queue")
        self.dropped = self.counter("dropped", "Items dropped on purpose.", "queue")
        self.stage_seconds = self.histogram("stage_seconds", "Duration of a stage.", FINE_SECONDS, "stage")
        self.batch_size = self.histogram("batch_size", "Items in a batch.", (1, 2, 4, 8, 16, 32), "stage")
        self.symbols = self.counter("symbols", "Complex symbols (channel uses).")
        self.snr_db = self.gauge("snr_db", "Es/N0 of the last burst in dB; NaN where no noise was added to it.")
        self.snr_db.set(math.nan)  # 0 dB would be a bad channel, where there is none
        self.segments_sent = self.counter("segments_sent", "Segments sent.", "layer")
        self.segments_lost = self.counter("segments_lost", "Segments whose CRC failed.", "layer")
        self.segments_unsent = self.counter("segments_unsent", "Segments left out to keep a budget.", "layer")
        self.segments_recovered = self.counter("segments_recovered", "Segments that came with a later round.", "layer")
        self.link_breaks = self.counter("link_breaks", "Streams to the next hop that broke with bursts under way.")
        self.resends = self.counter("resends", "Bursts sent again because the next hop went away.")
        self.replicas = self.gauge("replicas", "Replicas of the next hop, those known and those connected.", "state")
        self.models = self.gauge("model_info", "Models held, always 1.", "name", "fingerprint", "profile")
        self.device_memory = self.gauge("device_memory_bytes", "Memory in use where models run.", "device")
        self.device_memory_limit = self.gauge("device_memory_limit_bytes", "Memory that there is.", "device")
        self.device_busy = self.counter("device_busy_seconds", "Time in which a network ran.", "device")
        self.gauge("cpus", "Processors that the service may use.").set(usable_cpus())
        self.gauge("build_info", "Version of Panolink, always 1.", "version").labels(version()).set(1)
        for layer in LAYER_NAMES.values():  # start at 0, so that the first loss is an increase too
            self.segments_sent.labels(layer)
            self.segments_lost.labels(layer)
            self.segments_recovered.labels(layer)
            self.segments_unsent.labels(layer)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Register a counter `panolink_NAME`."""
        return Counter(f"panolink_{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Register a gauge `panolink_NAME`."""
        return Gauge(f"panolink_{name}", text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
        """Register a histogram `panolink_NAME`."""
        return Histogram(f"panolink_{name}", text, labels, buckets=tuple(buckets), registry=self.registry)

    def observe_snr(self, message: Any) -> None:
        """Note the `snr_db` of a burst's receipt, delivery or channel state; where one that failed says nothing, it was
        not measured, and the value before it stays."""
        if message.HasField("snr_db"):
            self.snr_db.set(message.snr_db)
        elif "failure" not in message.DESCRIPTOR.fields_by_name or not message.HasField("failure"):
            self.snr_db.set(math.nan)

    def count_segments(self, segments: Iterable[link_pb2.LayerSegments]) -> None:
        """Count a burst's segments by layer and outcome."""
        for count in segments:
            layer = LAYER_NAMES.get(count.layer, "other")
            self.segments_sent.labels(layer).inc(count.sent)
            self.segments_lost.labels(layer).inc(count.lost)
            self.segments_unsent.labels(layer).inc(count.unsent)
            self.segments_recovered.labels(layer).inc(count.recovered)

    def observe_stages(self, seconds: dict[str, float]) -> None:
        """Observe durations in seconds by stage."""
        for stage, duration in seconds.items():
            self.stage_seconds.labels(stage).observe(duration)

    def watch_certificate(self, expires: Callable[[], datetime | None]) -> None:
        """Export the expiry of the certificate of this service, queried from `expires` at each scrape."""
        gauge = self.gauge("certificate_expiry_timestamp_seconds", "When our certificate expires, since 1970.")
        gauge.set_function(lambda: time.timestamp() if (time := expires()) else math.nan)

    def serve(self, listen: str) -> str:
        """Serve the metrics over HTTP.

        Parameters
        ----------
        listen
            `host:port`, or `off`.

        Returns
        -------
        str
            The address in use, or `off`.

        Raises
        ------
        LinkError
            The port is taken.
        """
        if listen == "off":
            return "off"
        host, port = split_address(listen)
        try:
            self._http = MetricsServer(host, port, self.registry)
        except OSError as error:
            raise LinkError(f"metrics cannot be served on {listen}: {error.strerror or error}") from None
        return f"{host}:{self._http.port}"

    def close(self) -> None:
        """Stop the HTTP server."""
        if self._http:
            self._http.close()
