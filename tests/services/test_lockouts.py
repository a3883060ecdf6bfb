"""Peers that take places and memory and do not use them: an honest one is served within a second all the same."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Literal

import grpc.aio
import numpy as np
import pytest

from panolink.client import Client
from panolink.errors import AccessError
from panolink.images import encode_png
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.server.server import Server
from panolink.rpc.server.settings import ServiceSettings
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.deliveries import Delivery
from panolink.services.receiver.servicer import ReceiverServicer
from panolink.services.receiver.watchers import WatchedPanorama, Watchers
from panolink.v1 import (
    link_pb2,
    link_pb2_grpc,
    receiver_pb2,
    receiver_pb2_grpc,
    transmitter_pb2,
    transmitter_pb2_grpc,
)

Start = Callable[..., Awaitable[Server]]
NOBODY = Credentials()


async def served(
    target: str, panorama: np.ndarray, credentials: Credentials = NOBODY, **options: Any
) -> tuple[Delivery, float]:
    """A panorama's delivery, and the seconds that it took beyond those of the pipeline itself."""
    began = time.monotonic()
    async with Client(target, credentials=credentials, **options) as client:
        (delivery,) = [one async for one in client.send([panorama], picture=False)]
    return delivery, time.monotonic() - began - delivery.seconds.get("total", 0.0)


@pytest.mark.slow
async def test_streams_that_send_nothing_give_way(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)  # 16 streams
    async with open_channel(transmitter.address) as channel:
        stub: Any = transmitter_pb2_grpc.TransmitterStub(channel)
        calls = [stub.Transmit() for _ in range(16)]
        reads = [asyncio.create_task(call.read()) for call in calls]
        await asyncio.sleep(0.6)
        delivery, seconds = await served(transmitter.address, panorama)
        assert delivery.delivered and seconds < 1.0
        ended = [call for call in calls if call.done()]
        assert len(ended) == 1 and await ended[0].code() is grpc.StatusCode.UNAVAILABLE
        assert "makes room for another" in await ended[0].details()
        for read in reads:
            read.cancel()


@pytest.mark.slow
async def test_a_sender_that_had_to_give_way_notices_nothing(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, max_streams=1)

    first_done = asyncio.Event()

    async def slowly() -> Any:
        yield panorama
        await first_done.wait()
        await asyncio.sleep(0.7)
        (other,) = [one async for one in second.send([panorama], picture=False)]
        assert other.delivered
        await asyncio.sleep(0.7)
        yield panorama

    async with Client(transmitter.address) as first, Client(transmitter.address) as second:
        got = []
        async for one in first.send(slowly(), picture=False):
            got.append(one)
            first_done.set()
    assert [one.delivered for one in got] == [True, True]


async def test_an_idle_stream_ends(start: Start) -> None:
    transmitter = await start("transmitter", target="127.0.0.1:1", idle_stream_seconds=0.2)
    async with open_channel(transmitter.address) as channel:
        stub: Any = transmitter_pb2_grpc.TransmitterStub(channel)
        call = stub.Transmit()
        with pytest.raises(grpc.aio.AioRpcError, match=r"nothing was sent for 0\.2 s"):
            await asyncio.wait_for(call.read(), 2)


async def test_a_host_has_no_more_streams_than_its_share(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, max_streams_per_host=1)
    async with open_channel(transmitter.address) as channel:
        stub: Any = transmitter_pb2_grpc.TransmitterStub(channel)
        call = stub.Transmit()
        await call.write(_announced())
        await asyncio.sleep(0.1)
        delivery, _ = await served(transmitter.address, panorama, reconnect_timeout=0)
        assert delivery.code == "RESOURCE_EXHAUSTED" and "all 1 streams of this host" in (delivery.error or "")
        call.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["newest", "block"])
async def test_viewers_that_never_read_lose_their_place(policy: Literal["newest", "block"]) -> None:
    """Nor do they keep a link that waits for viewers (`block`) for longer than that."""
    settings = ServiceSettings(listen="127.0.0.1:0", metrics_listen="off", max_streams=4, unread_seconds=0.5)
    server = Server("receiver", settings, ServiceMetrics())
    watchers = Watchers(policy, size=1, on_drop=lambda: None)
    servicer = ReceiverServicer(watchers, server.streams("watch"))
    server.add(receiver_pb2_grpc.add_ReceiverServicer_to_server, servicer, "panolink.v1.Receiver")
    picture = bytes(16 << 20)  # more than transports buffer
    async with server, AsyncExitStack() as stack:
        calls = []
        for _ in range(4):
            channel = await stack.enter_async_context(open_channel(server.address))
            stub: Any = receiver_pb2_grpc.ReceiverStub(channel)
            calls.append(stub.Watch(iter([receiver_pb2.WatchRequest()])))
            await calls[-1].initial_metadata()
        began = time.monotonic()
        for number in range(4):
            header = receiver_pb2.ReceivedPanoramaHeader(number=number, picture_bytes=len(picture))
            await asyncio.wait_for(watchers.publish(WatchedPanorama(header, picture)), 2)
        async with asyncio.timeout(3):
            while len(watchers):
                await asyncio.sleep(0.01)
        assert time.monotonic() - began < 3
        async with Client(server.address) as viewer:
            watching = asyncio.create_task(anext(viewer.watch(count=1, picture_format="png")))
            while not len(watchers):
                await asyncio.sleep(0.01)
            header = receiver_pb2.ReceivedPanoramaHeader(number=9, picture_bytes=3)
            await watchers.publish(WatchedPanorama(header, b"png"))
            assert (await watching).number == 9
        with pytest.raises(grpc.aio.AioRpcError, match=r"has not been read for 0\.5 s"):
            while await calls[0].read() is not grpc.aio.EOF:
                pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["silent", "HTTP/2"])
async def test_idle_connections_without_a_token_are_closed(
    start: Start, panorama: np.ndarray, tmp_path: Path, kind: str
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-that-is-long-enough")
    credentials = Credentials(token_file=token)
    receiver = await start("receiver", credentials=credentials, max_connections=8, handshake_seconds=0.5)
    async with AsyncExitStack() as stack:
        host, _, port = receiver.address.rpartition(":")
        for _ in range(8):
            if kind == "silent":
                stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            else:
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(receiver.address))
                await channel.channel_ready()
        began = time.monotonic()
        while True:  # a client is told at once that it was turned away, for want of TLS or of room
            with suppress(AccessError):
                async with Client(receiver.address, credentials=credentials, connect_timeout=5) as client:
                    assert (await client.info()).service == "receiver"
                    break
            await asyncio.sleep(0.05)
        assert time.monotonic() - began < 2.5


@pytest.mark.slow
async def test_bursts_that_announce_much_and_send_little_hold_nothing(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver", max_bytes_under_way=1 << 20)
    transmitter = await start("transmitter", target=receiver.address)
    async with AsyncExitStack() as stack:
        for number in range(4):
            channel = await stack.enter_async_context(open_channel(receiver.address))
            stub: Any = link_pb2_grpc.LinkStub(channel)
            call = stub.Carry()
            await call.write(_burst(f"{number}", receiver.settings.max_burst_symbols, await _fingerprint(receiver)))
            await call.write(link_pb2.Burst(csi=bytes(8)))
            await call.write(link_pb2.Burst(samples=b"1"))
        await asyncio.sleep(0.1)
        delivery, seconds = await served(transmitter.address, panorama)
        assert delivery.delivered and seconds < 1.0


def _announced() -> Any:
    from panolink.v1 import transmitter_pb2

    return transmitter_pb2.TransmitRequest(
        header=transmitter_pb2.PanoramaHeader(panorama_id="slow", image_bytes=1 << 20)
    )


def _burst(name: str, symbols: int, fingerprint: str) -> link_pb2.Burst:
    return link_pb2.Burst(
        header=link_pb2.BurstHeader(
            burst_id=name,
            model_fingerprint=fingerprint,
            segments=[link_pb2.SegmentFormat(payload_bytes=10, layer=link_pb2.LAYER_HEADER)],
            symbols=symbols,
            sample_format=link_pb2.SAMPLE_FORMAT_CF32_LE,
            channel_state=link_pb2.ChannelState(coefficients=1, coherence_symbols=symbols),
        )
    )


async def _fingerprint(receiver: Server) -> str:
    async with Client(receiver.address) as client:
        return (await client.info()).models[0]["fingerprint"]


@pytest.mark.slow
async def test_one_stream_too_many_is_told_when_to_try_again(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, max_streams=1)
    image = encode_png(panorama)

    async def begin(channel: Any, sent: int) -> Any:
        """A stream with the first bytes of a panorama."""
        stub: Any = transmitter_pb2_grpc.TransmitterStub(channel)
        call = stub.Transmit()
        header = transmitter_pb2.PanoramaHeader(panorama_id="1", image_bytes=len(image))
        await call.write(transmitter_pb2.TransmitRequest(header=header))
        await call.write(transmitter_pb2.TransmitRequest(image=image[:sent]))
        return call

    async with open_channel(transmitter.address) as channel:
        first = await begin(channel, 100)
        await asyncio.sleep(0.1)
        second = await begin(channel, len(image))
        assert dict(await second.initial_metadata())["grpc-retry-pushback-ms"] == "1000"
        assert (await second.read()).header.failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        with suppress(grpc.aio.AioRpcError):
            await second.read()
        assert await second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(await second.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        await first.write(transmitter_pb2.TransmitRequest(image=image[100:]))
        assert not (await first.read()).header.HasField("failure")  # whom there was room for is served
        await first.done_writing()
        assert await first.read() is grpc.aio.EOF
        assert await first.code() is grpc.StatusCode.OK
        third = await begin(channel, len(image))  # and as soon as there is room again, so is the next one
        assert not (await third.read()).header.HasField("failure")


@pytest.mark.slow
async def test_a_client_comes_back_when_there_is_room(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, max_streams=1)
    async with open_channel(transmitter.address) as channel:
        stub: Any = transmitter_pb2_grpc.TransmitterStub(channel)
        call = stub.Transmit()
        await call.write(_announced())
        async with Client(transmitter.address) as client, asyncio.timeout(60):
            pictures = [("a", panorama), ("b", panorama), ("c", panorama)]
            sending = asyncio.create_task(_all(client.send(pictures, picture=False)))
            while not _handled(transmitter):  # the client breaks off the stream that was refused
                await asyncio.sleep(0.02)
            call.cancel()
            deliveries = await sending
    assert [one.code for one in deliveries] == [None] * 3 and {one.source for one in deliveries} == {"a", "b", "c"}


async def _all(deliveries: Any) -> list[Delivery]:
    return [one async for one in deliveries]


def _handled(server: Server) -> float:
    """Streams of senders that have ended."""
    samples = [one for metric in server.metrics.registry.collect() for one in metric.samples]
    return sum(
        one.value
        for one in samples
        if one.name == "grpc_server_handled_total" and one.labels["grpc_method"] == "Transmit"
    )
