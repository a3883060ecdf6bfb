"""OpenTelemetry traces, where they are asked for: one panorama is one trace, with spans of every process it passes.

Off by default, and then nothing of OpenTelemetry is imported. `start` (PANOLINK_OTLP_ENDPOINT) turns it on for this
process; it needs the extra `panolink[tracing]`. Trace context travels with each burst (`BurstHeader.traceparent`).
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from panolink.errors import PanolinkError

EXPORT_SECONDS = 3.0
"""How long sending spans may take; a collector that is away must not hold up a service that stops."""

_MAX_LENGTH = 128  # a traceparent has 55 characters; later versions may append to it

_tracer: Any = None
_provider: Any = None

Kind = Literal["internal", "server", "client"]


def start(service: str, version: str, endpoint: str) -> None:
    """Trace this process, and send its spans to the OTLP collector (gRPC) at `http://host:port` or `https://…`.

    The usual OTEL_… variables apply (OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS …).
    """
    try:
        exporter = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        resources = importlib.import_module("opentelemetry.sdk.resources")
    except ImportError as error:
        raise PanolinkError(
            f"PANOLINK_OTLP_ENDPOINT={endpoint}: {error.name} is not installed; tracing needs panolink[tracing]"
        ) from None
    resource = resources.Resource.create({"service.name": f"panolink-{service}", "service.version": version})
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(
        export.BatchSpanProcessor(exporter.OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS))
    )
    use(provider)


def use(provider: Any) -> None:
    """Trace with a provider of the application's own."""
    global _provider, _tracer
    _provider = provider
    _tracer = provider.get_tracer("panolink")


def stop() -> None:
    """Send the spans that wait, and trace no more."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        provider.shutdown()


@contextmanager
def span(name: str, *, parent: str = "", kind: Kind = "internal", **attributes: Any) -> Iterator[None]:
    """A span around a block: below `parent` (a W3C traceparent), or below the span that we are in.

    An exception that leaves the block ends the span with an error.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    with _tracer.start_as_current_span(
        name, context=_context(parent), kind=SpanKind[kind.upper()], attributes=_known(attributes)
    ):
        yield


def record(seconds: Mapping[str, float]) -> None:
    """Spans of stages that have followed one another and have ended just now, from their durations."""
    if _tracer is None:
        return
    begin = time.time_ns() - sum(map(_nanoseconds, seconds.values()))
    for name, duration in seconds.items():
        past = _tracer.start_span(name, start_time=begin)
        begin += _nanoseconds(duration)
        past.end(begin)


def annotate(**attributes: Any) -> None:
    """Tell the span that we are in more; what is None is left out."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(_known(attributes))


def fail(message: str) -> None:
    """The span that we are in ends with an error, though no exception leaves it."""
    if _tracer is not None:
        from opentelemetry.trace import Status, StatusCode, get_current_span

        get_current_span().set_status(Status(StatusCode.ERROR, message))


def traceparent() -> str:
    """W3C trace context of the span that we are in; empty outside of any.

    It need not be a span of ours: a program that traces itself and sends panoramas finds them in its own traces.
    """
    if "opentelemetry.trace" not in sys.modules:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def trace_id() -> str:
    """The id of the trace that we are in, 32 hexadecimal digits; empty outside of any."""
    if _tracer is None:
        return ""
    from opentelemetry.trace import format_trace_id, get_current_span

    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else ""


def _context(parent: str) -> Any:
    """The context that a traceparent from the wire describes; the present one where it is empty or makes no sense."""
    if not parent or len(parent) > _MAX_LENGTH:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"panolink.{name}": value for name, value in attributes.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
