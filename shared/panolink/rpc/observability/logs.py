"""Structured logging to standard error: text on a terminal, JSON lines for log collectors.

Every line about a panorama has its ids, `stream` and `panorama`, which are the same at the transmitter, the channel
and the receiver. `context` adds such ids to all lines logged in a block.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from panolink.rpc.flow_control.limits import MAX_ID_LENGTH
from panolink.rpc.observability import tracing
from panolink.rpc.text import visible, visible_json
from panolink.v1 import link_pb2

_ids: ContextVar[Mapping[str, str]] = ContextVar("ids", default={})  # noqa: B039 - never mutated

_PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def context(**ids: str) -> Iterator[None]:
    """Add ids to every line logged in this block, and in the tasks and threads it starts."""
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def burst_ids(burst_id: str) -> dict[str, str]:
    """Log ids of a burst; transmitters name the n-th panorama of a stream `STREAM-n`."""
    name = burst_id[:MAX_ID_LENGTH]  # rejected bursts are logged too, and their ids are arbitrary
    stream, dash, _ = name.partition("-")
    return {"stream": stream if dash else "", "panorama": name}


@contextmanager
def hop(name: str, header: link_pb2.BurstHeader) -> Iterator[None]:
    """Handle a burst in a block with its log ids and a span of its trace."""
    ids = burst_ids(header.burst_id)
    with context(**ids), tracing.span(name, parent=header.traceparent, kind="server", **ids):
        yield


def fields(**values: Any) -> dict[str, Any]:
    """Structured fields as `extra` of a logging call, None omitted; written to JSON lines only."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, service, logger, message, ids, fields, and exceptions with traceback."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids.get(),
            **getattr(record, "fields", {}),
        }
        if trace := tracing.trace_id():
            line["trace_id"] = trace
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = (
                f"{type(error).__name__}: {error}"  # readable at a glance; the traceback is for `jq -r .trace`
            )
            line["trace"] = self.formatException(record.exc_info)
        return visible_json(json.dumps(line, ensure_ascii=False, default=str))


class TextFormatter(logging.Formatter):
    """Time, level, logger, message and ids; tracebacks on the lines below."""

    def __init__(self) -> None:
        super().__init__(_PLAIN)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return visible(super().formatMessage(record)) + "".join(
            f" {name}={_quoted(text)}" for name, text in _ids.get().items()
        )

    def formatException(self, ei: Any) -> str:
        return "\n".join(map(visible, super().formatException(ei).split("\n")))


def _quoted(text: str) -> str:
    """An id, quoted if ambiguous, as ids come from the network."""
    return text if text.isascii() and text.isprintable() and text and " " not in text else json.dumps(text)


def configure(service: str, *, level: str, form: str) -> None:
    """Configure logging of this process to standard error, uncaught exceptions included.

    Parameters
    ----------
    service
        `transmitter`, `channel` or `receiver`.
    level
        `debug`, `info`, `warning` or `error`.
    form
        `text`, `json`, or `auto`: text on a terminal.
    """
    wanted: int = getattr(logging, level.upper())
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if as_json else TextFormatter())
    logging.basicConfig(level=max(logging.INFO, wanted), handlers=[handler], force=True)
    logging.getLogger("panolink").setLevel(wanted)  # not the root logger: debug lines of libraries would drown ours
    faulthandler.enable()
    sys.excepthook = lambda kind, error, trace: _log_crash(kind, error, trace, "main thread")
    threading.excepthook = lambda crash: _log_crash(
        crash.exc_type, crash.exc_value, crash.exc_traceback, crash.thread.name if crash.thread else "a thread"
    )


def _log_crash(kind: Any, error: Any, trace: Any, where: str) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("panolink").critical("%s crashed", where, exc_info=(kind, error, trace))
