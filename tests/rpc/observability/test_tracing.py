"""Spans: how they nest and end, what becomes of trace context from the wire, and that nothing happens unasked."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from panolink.errors import PanolinkError
from panolink.rpc.observability import logs, tracing
from panolink.rpc.observability.stage_timing import in_thread, timed

ROOT = Path(__file__).parents[3]
REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[Any]:
    """Traces into memory; `spans()` gives those that have ended, by name."""
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = trace.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    tracing.use(provider)
    yield lambda: {span.name: span for span in memory.get_finished_spans()}
    tracing.stop()


@pytest.mark.slow
def test_off_by_default_and_then_nothing_is_imported() -> None:
    program = (
        "import sys, panolink.services.transmitter.servicer, panolink.services.channel.servicer\n"
        "import panolink.services.receiver.servicer\n"
        "from panolink.rpc.observability import tracing\n"
        "with tracing.span('x', parent='y'):\n"
        "    tracing.annotate(a=1); tracing.fail('b'); tracing.record({'c': 1.0})\n"
        "    assert tracing.traceparent() == tracing.trace_id() == ''\n"
        "sys.exit(', '.join(name for name in sys.modules if name.startswith('opentelemetry')) or 0)"
    )
    paths = os.pathsep.join([str(ROOT / "shared"), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr.strip()) == (0, "")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not installed
    with pytest.raises(PanolinkError, match=r"PANOLINK_OTLP_ENDPOINT=http://127\.0\.0\.1:1.*panolink\[tracing\]"):
        tracing.start("channel", "0", "http://127.0.0.1:1")


async def test_stages_in_threads_are_spans_of_their_panorama(spans: Any) -> None:
    seconds: dict[str, float] = {}

    def work() -> str:
        with timed(seconds, "quantize"):
            return tracing.trace_id()

    with ThreadPoolExecutor(1) as pool, logs.context(panorama="1"), tracing.span("transmit", parent=REMOTE, source="a"):
        assert await in_thread(pool, work) == REMOTE.split("-")[1]
        tracing.record({"queue": 0.25, "encode": 0.5})
        tracing.annotate(bpp=0.1, snr_db=None)
    got = spans()
    root = got["transmit"]
    assert f"{root.context.trace_id:032x}" == REMOTE.split("-")[1]
    assert f"{root.parent.span_id:016x}" == REMOTE.split("-")[2]
    assert dict(root.attributes) == {"panolink.source": "a", "panolink.bpp": 0.1}
    for stage in ("quantize", "queue", "encode"):
        assert got[stage].parent.span_id == root.context.span_id
    assert got["encode"].end_time - got["queue"].start_time == 750_000_000
    assert got["queue"].end_time == got["encode"].start_time
    assert got["encode"].end_time <= time.time_ns()


@pytest.mark.parametrize("nonsense", ["", "00-zz-yy-01", "x" * 10_000, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_context_that_makes_no_sense_begins_a_trace(spans: Any, nonsense: str) -> None:
    with tracing.span("channel", parent=nonsense):
        assert tracing.traceparent().split("-")[1] == tracing.trace_id() != ""
    assert spans()["channel"].parent is None


async def test_two_panoramas_at_once_are_two_traces(spans: Any) -> None:
    async def one() -> str:
        with tracing.span("transmit", kind="server"):
            await asyncio.sleep(0)
            return tracing.trace_id()

    first, second = await asyncio.gather(one(), one())
    assert first != second


def test_failures_show(spans: Any) -> None:
    with tracing.span("lost"):
        tracing.fail("header lost")
    with pytest.raises(ZeroDivisionError), tracing.span("raised"):
        raise ZeroDivisionError
    assert spans()["lost"].status.description == "header lost"
    assert not spans()["lost"].status.is_ok
    assert not spans()["raised"].status.is_ok
