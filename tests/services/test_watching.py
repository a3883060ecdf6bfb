"""What the services tell of a panorama while it crosses them: a line of the log at each, and one trace."""

import io
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from panolink.rpc.observability import tracing
from panolink.rpc.observability.logs import JsonFormatter
from panolink.rpc.server.server import Server

Start = Callable[..., Awaitable[Server]]


SQUARE = b"P6\n64 64\n255\n" + bytes(3 * 64 * 64)
"""a picture that only the transmitter refuses: it is not 2:1"""


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """`logged()` gives the lines so far, parsed."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("all three"))
    services = logging.getLogger("panolink.services")
    services.addHandler(handler)
    services.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    services.removeHandler(handler)
    services.setLevel(logging.NOTSET)


@pytest.fixture
def spans() -> Iterator[Callable[[], list[Any]]]:
    """`spans()` gives what has been traced so far."""
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = trace.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    tracing.use(provider)
    yield lambda: list(memory.get_finished_spans())
    tracing.stop()


async def sent(target: str, panoramas: Any, **options: Any) -> list[Any]:
    async with Client(target) as link:
        return [delivery async for delivery in link.send(panoramas, **options)]


@pytest.mark.slow
async def test_each_panorama_has_a_line_at_each_service(
    start: Start, panorama: np.ndarray, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, snr_db=30, seed=1)
    transmitter = await start("transmitter", target=channel.address)
    await sent(transmitter.address, [("one.png", panorama), ("two.png", panorama), ("bad.ppm", SQUARE)])
    lines = [line for line in logged() if "panorama" in line]
    by_logger = Counter(line["logger"].removeprefix("panolink.services.") for line in lines)
    assert by_logger == {"transmitter.delivery_log": 3, "channel.servicer": 2, "receiver.burst_handler": 2}
    assert len({line["stream"] for line in lines}) == 1
    for source in ("one.png", "two.png"):
        (delivered,) = [line for line in lines if line.get("source") == source and "transmitter" in line["logger"]]
        assert (delivered["level"], delivered["code"]) == ("info", "OK")
        assert delivered["message"].startswith(f"delivered '{source}': ")
        assert delivered["bits"]["indices"] > 0
        assert delivered["seconds"]["total"] >= delivered["seconds"]["decode"] > 0
        same = [line for line in lines if line["panorama"] == delivered["panorama"]]
        assert {line["logger"].split(".")[2] for line in same} == {"transmitter", "channel", "receiver"}
    (bad,) = [line for line in lines if line.get("source") == "bad.ppm"]
    assert (bad["level"], bad["code"], bad["panorama_id"]) == ("warning", "INVALID_ARGUMENT", "3")
    assert "64×64" in bad["message"]


async def test_what_is_refused_at_the_door_has_its_line_too(
    start: Start, panorama: np.ndarray, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    transmitter = await start("transmitter", target="127.0.0.1:1", max_image_bytes=1024)
    async with Client(transmitter.address) as link:
        link.image_bytes = 1 << 20  # a client that does not keep to what it was told
        (refused,) = [delivery async for delivery in link.send([("large.png", panorama)])]
    assert refused.code == "RESOURCE_EXHAUSTED"
    (line,) = [line for line in logged() if line.get("source") == "large.png"]
    assert (line["level"], line["code"], line["panorama_id"]) == ("warning", "RESOURCE_EXHAUSTED", "1")


async def test_one_panorama_is_one_trace(start: Start, panorama: np.ndarray, spans: Callable[[], list[Any]]) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, snr_db=30, seed=1)
    transmitter = await start("transmitter", target=channel.address)
    await sent(transmitter.address, [("one", panorama), ("two", panorama)])
    traces: dict[int, dict[str, Any]] = {}
    for span in spans():
        traces.setdefault(span.context.trace_id, {})[span.name] = span
    assert len(traces) == 2
    for one in traces.values():
        parents = {name: _name_of(span.parent, one) for name, span in one.items()}
        assert parents == {
            "transmit": None,
            **dict.fromkeys(("decode_image", "queue", "encode", "quantize", "entropy_code", "fec_encode"), "transmit"),
            "carry": "transmit",
            "channel": "carry",
            "receive": "channel",
            **dict.fromkeys(("fec_decode", "entropy_decode", "decode", "encode_picture", "publish"), "receive"),
        } | {"queue": parents["queue"]}  # both ends have one of that name
        assert one["transmit"].attributes["panolink.code"] == "OK"
        assert one["transmit"].attributes["panolink.panorama"] == one["receive"].attributes["panolink.panorama"]


@pytest.mark.slow
async def test_a_sender_that_traces_finds_its_panoramas_in_its_own_trace(
    start: Start, panorama: np.ndarray, spans: Callable[[], list[Any]]
) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    with tracing.span("application"):
        (delivery,) = await sent(transmitter.address, [panorama])
    assert delivery.delivered
    by_name = {span.name: span for span in spans()}
    assert by_name["transmit"].parent.span_id == by_name["application"].context.span_id
    assert by_name["receive"].context.trace_id == by_name["application"].context.trace_id


def _name_of(parent: Any, spans: dict[str, Any]) -> str | None:
    return next((name for name, span in spans.items() if parent and span.context.span_id == parent.span_id), None)


@pytest.mark.slow
async def test_a_burst_that_is_refused_has_one_line_where_it_was_refused(
    start: Start,
    panorama: np.ndarray,
    weights: Callable[[int], Any],
    logged: Callable[[], list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = await start("receiver", models=(str(weights(1)),))
    transmitter = await start("transmitter", target=receiver.address)
    (delivery,) = await sent(transmitter.address, [("one.png", panorama)])
    assert delivery.code == "FAILED_PRECONDITION"
    (line,) = [line for line in logged() if "transmitter" in line["logger"]]
    (refused,) = [record for record in caplog.records if record.getMessage().startswith("burst refused")]
    assert refused.fields == {"source": "one.png", "code": "FAILED_PRECONDITION"}  # type: ignore[attr-defined]
    assert "holds" in refused.getMessage()
    assert (line["level"], line["code"]) == ("warning", "FAILED_PRECONDITION")
