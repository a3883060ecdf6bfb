"""A server's life: ready, described, measured, limited, drained."""

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from panolink.client import Client
from panolink.errors import LinkError
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.server.server import Server
from panolink.rpc.server.settings import ServiceSettings
from panolink.rpc.transport.carry import LinkEndpoint
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.transport.retrying_client import RetryingClient
from panolink.rpc.wire.bursts import Burst, Receipt, burst_messages
from panolink.v1 import link_pb2, link_pb2_grpc
from tests.rpc.helpers import connected_client

MakeBurst = Callable[..., Burst]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Gated:
    """A `BurstHandler` that delivers when it is told to."""

    def __init__(self) -> None:
        self.taken = asyncio.Event()
        self.go = asyncio.Event()

    def check(self, header: link_pb2.BurstHeader) -> None: ...

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        self.taken.set()
        if burst.header.burst_id == "fault":
            raise ZeroDivisionError("/secret/path")
        return self._receipt(burst.header.burst_id)

    async def close(self) -> None: ...

    async def _receipt(self, burst_id: str) -> Receipt:
        await self.go.wait()
        return Receipt(link_pb2.ReceiptHeader(burst_id=burst_id))


def link_server(handler: Gated, **settings: Any) -> Server:
    values = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", "drain_seconds": 5.0} | settings
    server = Server("receiver", ServiceSettings(**values), ServiceMetrics())
    link = LinkEndpoint(lambda: handler, limits=Limits(), streams=server.streams("link"), in_flight=4)
    server.add(link_pb2_grpc.add_LinkServicer_to_server, link, "panolink.v1.Link")
    return server


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


@pytest.mark.slow
async def test_health_reflection_and_description_answer() -> None:
    async with link_server(Gated()) as server, open_channel(server.address) as channel:
        assert await health(channel) == SERVING
        assert await health(channel, "panolink.v1.Link") == SERVING
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for response in stub.ServerReflectionInfo(iter([request])):
            names = {service.name for service in response.list_services_response.service}
        assert {"panolink.v1.Link", "panolink.v1.Node", "grpc.health.v1.Health"} <= names
        async with Client(server.address) as client:
            info = await client.info()
            assert (info.service, info.models) == ("receiver", ())
            with pytest.raises(LinkError, match="another kind of service"):
                await client.conditions()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_has_both_of_its_names(version: str) -> None:
    async with link_server(Gated()) as server, open_channel(server.address) as channel:
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="panolink.v1.Link")
        (answer,) = [answer async for answer in call(iter([asked]))]
        assert answer.file_descriptor_response.file_descriptor_proto
        listed = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = [answer async for answer in call(iter([listed]))]
        names = {one.name for one in answer.list_services_response.service}
        assert f"grpc.reflection.{version}.ServerReflection" in names


@pytest.mark.slow
async def test_draining_finishes_what_is_under_way_and_takes_nothing_new(burst: MakeBurst) -> None:
    handler = Gated()
    server = link_server(handler)
    await server.start()
    async with (
        open_channel(server.address) as channel,
        connected_client(server.address) as client,
        connected_client(server.address) as late,
    ):
        pending = await client.send("1", burst())
        await asyncio.wait_for(handler.taken.wait(), 5)
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0.05)
        assert await health(channel) == NOT_SERVING
        refused = await (await late.send("2", burst("2")))
        # It says "shutting down", unless that status is lost while the burst is being written (grpc/grpc#36066).
        assert refused.header.failure.code == grpc.StatusCode.UNAVAILABLE.value[0]
        handler.go.set()
        assert not (await pending).header.HasField("failure")
        await asyncio.wait_for(draining, 5)


@pytest.mark.slow
async def test_what_does_not_finish_in_time_is_cut_off(burst: MakeBurst) -> None:
    server = link_server(Gated(), drain_seconds=0.05)
    await server.start()
    async with connected_client(server.address) as client:
        pending = await client.send("1", burst())
        await asyncio.wait_for(server.drain(), 5)
        assert (await pending).header.HasField("failure")


@pytest.mark.slow
async def test_streams_are_counted_and_limited(burst: MakeBurst) -> None:
    handler = Gated()
    async with (
        link_server(handler, max_streams=1) as server,
        connected_client(server.address) as first,
        connected_client(server.address, reconnect_timeout=0) as second,
        connected_client(server.address, reconnect_timeout=60) as patient,
        asyncio.timeout(60),
    ):
        under_way = await first.send("1", burst())
        await handler.taken.wait()
        refused = await _receipt(second, burst("2"))
        assert refused.header.failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert "all 1 streams are in use" in refused.header.failure.message
        assert server.metrics.registry.get_sample_value("panolink_streams", {"kind": "link"}) == 1
        waiting = asyncio.create_task(_receipt(patient, burst("3")))
        while _ended(server) < 2:  # that of the patient one, too
            await asyncio.sleep(0.02)
        assert not waiting.done()
        handler.go.set()
        assert not (await under_way).header.HasField("failure")
        await first.close()
        assert not (await waiting).header.HasField("failure")


def _ended(server: Server) -> float:
    """Streams of bursts that have ended."""
    samples = [sample for metric in server.metrics.registry.collect() for sample in metric.samples]
    return sum(
        sample.value
        for sample in samples
        if sample.name == "grpc_server_handled_total" and sample.labels["grpc_method"] == "Carry"
    )


async def _receipt(client: RetryingClient[Burst, Receipt], burst: Burst) -> Receipt:
    return await (await client.send(burst.header.burst_id, burst))


@pytest.mark.slow
async def test_calls_are_measured_by_method_and_status(burst: MakeBurst) -> None:
    handler = Gated()
    handler.go.set()
    async with (
        link_server(handler) as server,
        open_channel(server.address) as channel,
        connected_client(server.address) as client,
    ):
        await (await client.send("1", burst()))
        fault = await (await client.send("fault", burst("fault")))
        assert fault.header.failure.message == "burst fault: internal error"
        await client.close()
        call: Any = channel.unary_unary("/panolink.v1.Link/Nothing")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"")
        url = f"http://{server.metrics_address}/metrics"
        text = (await asyncio.to_thread(urllib.request.urlopen, url, timeout=5)).read().decode()
    labels = 'grpc_method="Carry",grpc_service="panolink.v1.Link",grpc_type="bidi_stream"'
    assert f'grpc_server_handled_total{{grpc_code="OK",{labels}}} 1.0' in text
    assert f"grpc_server_msg_sent_total{{{labels}}} 2.0" in text
    assert f"grpc_server_handling_seconds_count{{{labels}}} 1.0" in text
    assert "Nothing" not in text


@pytest.mark.slow
async def test_a_stream_that_its_caller_leaves_is_given_back(burst: MakeBurst) -> None:
    async with link_server(Gated(), max_streams=1) as server, open_channel(server.address) as channel:
        stub: Any = link_pb2_grpc.LinkStub(channel)
        call = stub.Carry()
        for message in burst_messages(burst()):
            await call.write(message)
        await asyncio.sleep(0.05)
        call.cancel()
        for _ in range(100):
            value = server.metrics.registry.get_sample_value("panolink_streams", {"kind": "link"})
            if value == 0:
                break
            await asyncio.sleep(0.02)
        assert value == 0


@pytest.mark.slow
async def test_a_port_in_use_is_one_line() -> None:
    async with link_server(Gated()) as server:
        with pytest.raises(LinkError, match="cannot listen on"):
            await link_server(Gated(), listen=server.address).start()
        with pytest.raises(LinkError, match="metrics cannot be served"):
            await link_server(Gated(), metrics_listen=server.metrics_address).start()


async def test_a_client_without_a_service(free_port: Callable[[], int]) -> None:
    with pytest.raises(LinkError, match="no service answers there"):
        async with Client(f"127.0.0.1:{free_port()}", connect_timeout=0.1):
            pass
    with pytest.raises(LinkError, match="not connected"):
        await Client("127.0.0.1:1").info()


async def test_connections_are_not_held_by_calls_that_ask_nothing(tmp_path: Path) -> None:
    """Without a token and a message, and by streams of gRPC's own services: their places go to others."""
    file = tmp_path / "token"
    file.write_text("a-token-that-is-long-enough")
    settings = ServiceSettings(
        listen="127.0.0.1:0",
        metrics_listen="off",
        handshake_seconds=0.3,
        idle_connection_seconds=0.3,
        idle_stream_seconds=0.3,
        credentials=Credentials(token_file=file),
    )
    methods = ("/panolink.v1.Node/Describe", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
    async with Server("receiver", settings, ServiceMetrics()) as server, AsyncExitStack() as open_channels:
        for method, metadata in zip(methods, ((), (), (("authorization", f"Bearer {file.read_text()}"),)), strict=True):
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = await open_channels.enter_async_context(grpc.aio.insecure_channel(server.address, options))
            held: Any = channel.stream_stream(method)(metadata=metadata)
            if metadata:
                await held.write(health_pb2.HealthCheckRequest().SerializeToString())
                assert await held.read()
            async with asyncio.timeout(10):
                with suppress(grpc.aio.AioRpcError):
                    while await held.read() is not grpc.aio.EOF:
                        pass
                status = await held.code()
            refused, ended = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE
            assert status in ((ended,) if metadata else (refused, grpc.StatusCode.DEADLINE_EXCEEDED))
        names = ("grpc_type", "grpc_service", "grpc_method", "grpc_code")
        labels = dict(zip(names, ("unary", "panolink.v1.Node", "Describe", "UNAUTHENTICATED"), strict=True))
        assert server.metrics.registry.get_sample_value("grpc_server_handled_total", labels) == 1


async def test_what_waits_for_streams_that_are_ended_later_holds_nothing_up() -> None:
    """Such as a picture that is to be shown to viewers, of whom one reads nothing."""
    closed, later = [], []

    async def finish() -> None:
        await asyncio.wait_for(later[0].draining.wait(), 10)

    async def close() -> None:
        closed.append(later[0].draining.is_set())

    settings = ServiceSettings(listen="127.0.0.1:0", metrics_listen="off", drain_seconds=0.3)
    server = Server("receiver", settings, ServiceMetrics())
    server.streams("link", drained=finish)
    later.append(server.streams("watch"))
    server.on_close(close)
    await server.start()
    await asyncio.wait_for(server.drain(), 5)
    assert closed == [True]
