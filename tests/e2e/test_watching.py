"""Three real processes, watched: their logs through pipes, and their traces at a collector of the real protocol."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest

from panolink.client import Client

pytestmark = pytest.mark.slow

Launch = Callable[..., Any]


@dataclass
class Collector:
    """An OTLP collector that keeps what it is sent: (service, span) by trace."""

    address: str = ""
    traces: dict[bytes, list[tuple[str, Any]]] = field(default_factory=dict)

    async def Export(self, request: Any, context: Any) -> Any:
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        for resource in request.resource_spans:
            attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.traces.setdefault(span.trace_id, []).append((attributes["service.name"], span))
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector on a free port."""
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc")
    collecting = Collector()
    server: Any = grpc.aio.server()
    service.add_TraceServiceServicer_to_server(collecting, server)
    collecting.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield collecting
    await server.stop(None)


def start_link(launch: Launch, **settings: Any) -> tuple[Any, Any, Any]:
    """Transmitter, channel and receiver. `log_folder`: where each logs into a file of its name."""
    folder: Path | None = settings.pop("log_folder", None)

    def one(name: str, **own: Any) -> Any:
        return launch(name, log=folder / name if folder else None, **own, **settings)

    receiver = one("receiver")
    channel = one("channel", target=receiver.address, snr_db=20, seed=1)
    return one("transmitter", target=channel.address), channel, receiver


async def sent(target: str, panoramas: list[np.ndarray]) -> list[Any]:
    async with Client(target) as client:
        return [delivery async for delivery in client.send(panoramas)]


@pytest.mark.long
async def test_a_panorama_is_one_trace_through_three_processes(
    launch: Launch, collector: Collector, panorama: np.ndarray
) -> None:
    services = await asyncio.to_thread(start_link, launch, PANOLINK_OTLP_ENDPOINT=collector.address)
    assert all(delivery.delivered for delivery in await sent(services[0].address, [panorama] * 2))
    for service in services:
        assert await asyncio.to_thread(service.stop) == 0  # what waits is sent before the end
    assert len(collector.traces) == 2
    for spans in collector.traces.values():
        names = {(service.removeprefix("panolink-"), span.name) for service, span in spans}
        assert {
            *((("transmitter", stage)) for stage in ("transmit", "decode_image", "queue", "encode", "quantize")),
            *((("transmitter", stage)) for stage in ("entropy_code", "fec_encode", "carry")),
            ("channel", "channel"),
            *((("receiver", stage)) for stage in ("receive", "fec_decode", "entropy_decode", "queue", "decode")),
        } <= names
        ids = {span.span_id for _, span in spans}
        roots = [span for _, span in spans if not span.parent_span_id]
        assert [root.name for root in roots] == ["transmit"]
        assert all(span.parent_span_id in ids for _, span in spans if span.parent_span_id)
        (root,) = roots
        for _, span in spans:  # one machine, one clock
            assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano


@pytest.mark.long
async def test_a_collector_that_is_away_costs_nothing_but_traces(
    launch: Launch, free_port: Callable[[], int], panorama: np.ndarray
) -> None:
    services = await asyncio.to_thread(
        start_link, launch, PANOLINK_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}", log_level="error"
    )
    (delivery,) = await sent(services[0].address, [panorama])
    assert delivery.delivered
    for service in services:
        assert await asyncio.to_thread(service.stop) == 0


@pytest.mark.long
async def test_logs_through_pipes_are_json_and_fit_together(
    launch: Launch, panorama: np.ndarray, tmp_path: Path
) -> None:
    services = await asyncio.to_thread(start_link, launch, log_level="debug", log_folder=tmp_path)
    await sent(services[0].address, [panorama] * 2)
    for service in services:
        await asyncio.to_thread(service.stop)
    loggers: dict[str, set[str]] = {}
    for name in ("transmitter", "channel", "receiver"):
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert {line["service"] for line in lines} == {name}
        for line in lines:
            if "panorama" in line:
                loggers.setdefault(line["panorama"], set()).add(name)
    assert len(loggers) == 2
    assert all(names == {"transmitter", "channel", "receiver"} for names in loggers.values())


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("PANOLINK_LOG_FORMAT", "xml", "PANOLINK_LOG_FORMAT=xml: Input should be 'auto', 'text' or 'json'"),
        ("PANOLINK_OTLP_ENDPOINT", "nowhere", "PANOLINK_OTLP_ENDPOINT=nowhere: allowed is http://host:port"),
    ],
)
def test_a_bad_setting_stops_with_one_line(
    run_service: Callable[..., Any], setting: str, value: str, said: str
) -> None:
    ended = run_service("channel", **{setting: value})
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(said)
