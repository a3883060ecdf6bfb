"""Optional OpenTelemetry tracing: one trace per panorama, with spans of every process it passes.

Disabled by default, and then OpenTelemetry is not imported. `start` (PANOLINK_OTLP_ENDPOINT) enables it for this
process and requires the extra `panolink[tracing]`. Bursts carry the trace context (`BurstHeader.traceparent`).
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
"""Export timeout in seconds: an unreachable collector must not delay shutdown."""

_MAX_LENGTH = 128  # a traceparent has 55 characters; later versions may append to it

_tracer: Any = None
_provider: Any = None

Kind = Literal["internal", "server", "client"]


def start(service: str, version: str, endpoint: str) -> None:
    """Enable tracing with an OTLP exporter over gRPC.

    The usual OTEL_… variables apply (OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS …).

    Parameters
    ----------
    service, version
        Attributes of the resource.
    endpoint
        Collector, `http://host:port` or `https://host:port`.

    Raises
    ------
    PanolinkError
        OpenTelemetry is not installed.
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
    """Enable tracing with a given tracer provider."""
    global _provider, _tracer
    _provider = provider
    _tracer = provider.get_tracer("panolink")


def stop() -> None:
    """Flush pending spans and disable tracing."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        provider.shutdown()


@contextmanager
def span(name: str, *, parent: str = "", kind: Kind = "internal", **attributes: Any) -> Iterator[None]:
    """Record a block as a span.

    Parameters
    ----------
    parent
        W3C traceparent of the parent; empty: the current span.
    kind
        OpenTelemetry's span kind.
    attributes
        Recorded as `panolink.NAME`; None is omitted.
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
    """Record consecutive stages that have just ended as spans, from their durations in seconds."""
    if _tracer is None:
        return
    begin = time.time_ns() - sum(map(_nanoseconds, seconds.values()))
    for name, duration in seconds.items():
        past = _tracer.start_span(name, start_time=begin)
        begin += _nanoseconds(duration)
        past.end(begin)


def annotate(**attributes: Any) -> None:
    """Set attributes of the current span; None is omitted."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(_known(attributes))


def fail(message: str) -> None:
    """Mark the current span as failed without an exception."""
    if _tracer is not None:
        from opentelemetry.trace import Status, StatusCode, get_current_span

        get_current_span().set_status(Status(StatusCode.ERROR, message))


def traceparent() -> str:
    """W3C trace context of the current span; empty if there is none.

    The span may belong to the calling application, whose own traces then include its panoramas.
    """
    if "opentelemetry.trace" not in sys.modules:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def trace_id() -> str:
    """Id of the current trace, 32 hexadecimal digits; empty if there is none."""
    if _tracer is None:
        return ""
    from opentelemetry.trace import format_trace_id, get_current_span

    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else ""


def _context(parent: str) -> Any:
    """Context of a traceparent from the wire; None (the current one) if it is empty or invalid."""
    if not parent or len(parent) > _MAX_LENGTH:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"panolink.{name}": value for name, value in attributes.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
