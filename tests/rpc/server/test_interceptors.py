"""Errors, metrics and log lines of calls, at a real server whose methods do what the test asks for."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from panolink.errors import LimitError
from panolink.rpc.observability.metrics import RpcMetrics
from panolink.rpc.server.interceptors import CallInterceptor
from panolink.v1 import node_pb2, node_pb2_grpc, receiver_pb2, receiver_pb2_grpc

NODE, WATCH = ("unary", "panolink.v1.Node", "Describe"), ("bidi_stream", "panolink.v1.Receiver", "Watch")


class Node(node_pb2_grpc.NodeServicer):
    """Answers, or raises `error`, or ends the call with `refusal`."""

    error: BaseException | None = None
    refusal = ""

    async def Describe(self, request: Any, context: Any) -> node_pb2.DescribeResponse:
        if self.error:
            raise self.error
        if self.refusal:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.refusal)
        return node_pb2.DescribeResponse(service="node")


class Watched(receiver_pb2_grpc.ReceiverServicer):
    """Two messages, and then what `Node` raises too."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.closed = False

    async def Watch(self, request_iterator: Any, context: Any) -> AsyncIterator[receiver_pb2.ReceivedPanorama]:
        await anext(request_iterator)
        try:
            for _ in range(2):
                yield receiver_pb2.ReceivedPanorama(picture=b"x")
            if self.node.error:
                raise self.node.error
        finally:
            self.closed = True


class Running:
    def __init__(self, node: Node, watched: Watched, registry: CollectorRegistry, channel: grpc.aio.Channel) -> None:
        self.node, self.watched, self._registry = node, watched, registry
        self.channel = channel
        self.describe: Any = node_pb2_grpc.NodeStub(channel).Describe
        watch: Any = receiver_pb2_grpc.ReceiverStub(channel).Watch
        self.watch: Any = lambda request: watch(iter([request]))

    def count(self, name: str, labels: tuple[str, str, str], **more: str) -> float:
        names = dict(zip(("grpc_type", "grpc_service", "grpc_method"), labels, strict=True))
        return self._registry.get_sample_value(f"grpc_server_{name}", names | more) or 0.0

    async def counts_to(self, wanted: float, name: str, labels: tuple[str, str, str], **more: str) -> None:
        """Wait for a count, and be sure that it is no more: a client has its answer before the server counts it."""
        deadline = time.monotonic() + 20
        while self.count(name, labels, **more) < wanted and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert self.count(name, labels, **more) == wanted


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    registry, node = CollectorRegistry(), Node()
    watched = Watched(node)
    interceptor = CallInterceptor(RpcMetrics(registry), unread_seconds=5, request_seconds=0.2)
    server: Any = grpc.aio.server(interceptors=[interceptor])
    node_pb2_grpc.add_NodeServicer_to_server(node, server)
    receiver_pb2_grpc.add_ReceiverServicer_to_server(watched, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Running(node, watched, registry, channel)
    await server.stop(None)


async def failed(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or ""


async def test_calls_and_messages_are_counted(running: Running) -> None:
    assert (await running.describe(node_pb2.DescribeRequest())).service == "node"
    assert len([message async for message in running.watch(receiver_pb2.WatchRequest())]) == 2
    for labels, messages in ((NODE, 1), (WATCH, 2)):
        assert running.count("started_total", labels) == running.count("msg_received_total", labels) == 1
        await running.counts_to(1, "handled_total", labels, grpc_code="OK")
        await running.counts_to(1, "handling_seconds_count", labels)
        assert running.count("msg_sent_total", labels) == messages


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (LimitError("streams: 9,\nat most 8 are allowed"), "RESOURCE_EXHAUSTED", "streams: 9, at most 8 are allowed"),
        (RuntimeError("/root/secret.key: no such file"), "INTERNAL", "internal error"),
    ],
)
async def test_errors_are_statuses_and_internals_stay_inside(
    running: Running, caplog: pytest.LogCaptureFixture, error: Exception, status: str, message: str
) -> None:
    running.node.error = error
    caplog.set_level(logging.INFO, "panolink.rpc.server.interceptors")
    assert await failed(running.describe(node_pb2.DescribeRequest())) == (grpc.StatusCode[status], message)

    async def watch() -> None:
        async for _ in running.watch(receiver_pb2.WatchRequest()):
            pass

    assert await failed(watch()) == (grpc.StatusCode[status], message)
    for labels in (NODE, WATCH):
        await running.counts_to(1, "handled_total", labels, grpc_code=status)
    assert f"panolink.v1.Node/Describe {status}" in caplog.text
    assert ("Traceback" in caplog.text) == (status == "INTERNAL"), "a bug shows where it is"
    assert running.watched.closed


async def test_a_status_that_a_handler_sets_is_kept(running: Running) -> None:
    running.node.refusal = "not now"
    status = await failed(running.describe(node_pb2.DescribeRequest()))
    assert status == (grpc.StatusCode.FAILED_PRECONDITION, "not now")
    await running.counts_to(1, "handled_total", NODE, grpc_code="FAILED_PRECONDITION")


async def test_what_viewers_ask_for_every_few_seconds_is_no_news(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "panolink.rpc.server.interceptors")
    await running.describe(node_pb2.DescribeRequest())
    assert [record.levelname for record in caplog.records if "Describe" in record.getMessage()] == ["DEBUG"]


async def test_a_call_whose_message_never_comes_is_ended(running: Running) -> None:
    call: Any = running.channel.stream_unary("/panolink.v1.Node/Describe")()  # headers, and then nothing
    async with asyncio.timeout(10):
        status, message = await failed(call)
    assert (status, message) == (grpc.StatusCode.DEADLINE_EXCEEDED, "the call's message has not come within 0.2 s")
    empty: Any = running.channel.stream_unary("/panolink.v1.Node/Describe")(iter([]))
    assert (await failed(empty))[0] is grpc.StatusCode.INVALID_ARGUMENT
    await running.counts_to(1, "handled_total", NODE, grpc_code="DEADLINE_EXCEEDED")
