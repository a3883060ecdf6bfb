"""Channels to services that are there, that are of another kind, and that are not there."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from panolink.errors import AccessError, LinkError
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.server import server
from panolink.rpc.server.settings import ServiceSettings
from panolink.rpc.transport import connection
from panolink.rpc.transport.connection import (
    link_error,
    open_channel,
    tls_refusal,
    unary_response,
    wait_until_reachable,
)
from panolink.v1 import link_pb2_grpc, node_pb2, node_pb2_grpc


class Node(node_pb2_grpc.NodeServicer):
    async def Describe(self, request: Any, context: Any) -> node_pb2.DescribeResponse:
        return node_pb2.DescribeResponse(service="node")


def error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, empty, empty, details)


@pytest.mark.slow
async def test_a_service_is_waited_for_until_it_answers(serve: Any, free_port: Callable[[], int]) -> None:
    port = free_port()
    target = f"127.0.0.1:{port}"
    async with open_channel(target) as channel:
        waiting = asyncio.create_task(wait_until_reachable(channel, target, 20.0))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await serve(node_pb2_grpc.add_NodeServicer_to_server, Node(), port=port)
        await waiting
        stub: Any = node_pb2_grpc.NodeStub(channel)
        assert (await unary_response(stub.Describe(node_pb2.DescribeRequest()), target)).service == "node"


async def test_nobody_there_is_said_in_time(free_port: Callable[[], int]) -> None:
    target = f"127.0.0.1:{free_port()}"
    start = time.monotonic()
    async with open_channel(target) as channel:
        with pytest.raises(LinkError, match=f"{target}: no service answers there within 0.3 s"):
            await wait_until_reachable(channel, target, 0.3)
        stub: Any = node_pb2_grpc.NodeStub(channel)
        with pytest.raises(LinkError, match=f"{target}: no service answers there"):
            await unary_response(stub.Describe(node_pb2.DescribeRequest(), timeout=5), target)
    assert time.monotonic() - start < 5


async def test_a_service_of_another_kind_is_reachable_and_says_what_it_is_not(serve: Any) -> None:
    address = await serve(link_pb2_grpc.add_LinkServicer_to_server, link_pb2_grpc.LinkServicer())
    async with open_channel(address) as channel:
        await wait_until_reachable(channel, address, 5)
        stub: Any = node_pb2_grpc.NodeStub(channel)
        with pytest.raises(LinkError, match="does not know that request"):
            await unary_response(stub.Describe(node_pb2.DescribeRequest()), address)


@pytest.mark.parametrize(
    ("code", "details", "kind", "message"),
    [
        ("UNAVAILABLE", "failed to connect: Connection refused", LinkError, "no service answers there"),
        ("UNAVAILABLE", "link: the service is shutting down", LinkError, "link: the service is shutting down"),
        ("UNAUTHENTICATED", "no token was shown", AccessError, "no token was shown"),
        ("UNAVAILABLE", "failed to connect: CERTIFICATE_VERIFY_FAILED: x", AccessError, "not signed by an authority"),
        ("RESOURCE_EXHAUSTED", "all 8 streams are in use", LinkError, "all 8 streams are in use"),
        ("INTERNAL", "", LinkError, "INTERNAL"),
    ],
)
def test_statuses_are_one_line_about_the_peer(code: str, details: str, kind: type[Exception], message: str) -> None:
    found = link_error(error(grpc.StatusCode[code], details), "host:1")
    assert type(found) is kind
    assert str(found).startswith("host:1: ") and message in str(found) and "\n" not in str(found)


def test_only_a_handshake_that_failed_is_a_refusal_of_tls() -> None:
    failed = "failed to connect to all addresses; last error: Ssl handshake failed: certificate has expired"
    assert tls_refusal(error(grpc.StatusCode.UNAVAILABLE, failed)) == "its certificate has expired"
    assert tls_refusal(error(grpc.StatusCode.UNAVAILABLE, "certificate has expired")) == ""
    assert tls_refusal(error(grpc.StatusCode.INTERNAL, failed)) == ""
    assert tls_refusal(error(grpc.StatusCode.UNAVAILABLE, "failed to connect: Connection refused")) == ""


@pytest.mark.slow
async def test_a_peer_that_died_in_silence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy that acknowledges and forwards nothing; at a twentieth of the times that hold otherwise."""
    quick = {"grpc.keepalive_time_ms": 1000, "grpc.http2.ping_timeout_ms": 500}
    options = tuple((name, quick.get(name, value)) for name, value in connection._OPTIONS)
    monkeypatch.setattr(connection, "_OPTIONS", options)
    often = tuple((name, 100 if "min_ping" in name else value) for name, value in server._OPTIONS)
    monkeypatch.setattr(server, "_OPTIONS", often)
    dead = asyncio.Event()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if not dead.is_set():
                writer.write(data)

    settings = ServiceSettings(listen="127.0.0.1:0", metrics_listen="off")
    async with server.Server("receiver", settings, ServiceMetrics()) as service:
        host, _, port = service.address.rpartition(":")

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            to_reader, to_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(forward(reader, to_writer), forward(to_reader, writer), return_exceptions=True)

        proxy = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with open_channel(f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}") as channel:
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            await watching.read()
            with pytest.raises(TimeoutError):  # which takes more than two pings without data
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(watching.read())), 4)
            dead.set()
            with pytest.raises(grpc.aio.AioRpcError):
                await asyncio.wait_for(watching.read(), 8)
        proxy.close()
