"""Numbers and names that make no sense are the sender's mistake: INVALID_ARGUMENT, and the stream goes on."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest

from panolink.client import Client
from panolink.images import encode_png
from panolink.rpc.server.server import Server
from panolink.rpc.transport.connection import open_channel
from panolink.v1 import (
    link_pb2,
    link_pb2_grpc,
    receiver_pb2,
    receiver_pb2_grpc,
    transmitter_pb2,
    transmitter_pb2_grpc,
)

Start = Callable[..., Awaitable[Server]]
INVALID_ARGUMENT = 3


async def answers(address: str, image: bytes, *headers: transmitter_pb2.PanoramaHeader) -> list[Any]:
    """Headers of the deliveries of one stream."""
    async with open_channel(address) as channel:
        stub: Any = transmitter_pb2_grpc.TransmitterStub(channel)
        call = stub.Transmit()
        for header in headers:
            header.image_bytes = len(image)
            await call.write(transmitter_pb2.TransmitRequest(header=header))
            await call.write(transmitter_pb2.TransmitRequest(image=image))
        await call.done_writing()
        return [message.header async for message in call if message.HasField("header")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [1e308, float("inf"), float("nan"), -1e308])
async def test_rates_beyond_all_measure(start: Start, panorama: np.ndarray, number: float) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    fields = ({"bpp": number}, {"symbols_per_pixel": number}, {"deadline_seconds": number}, {"tau": number})
    headers = [transmitter_pb2.PanoramaHeader(panorama_id=f"{i}", **one) for i, one in enumerate(fields)]
    headers.append(transmitter_pb2.PanoramaHeader(panorama_id="good"))
    got = {one.panorama_id: one for one in await answers(transmitter.address, encode_png(panorama), *headers)}
    assert [got[f"{i}"].failure.code for i in range(4)] == [INVALID_ARGUMENT] * 4, got
    assert not got["good"].HasField("failure")


@pytest.mark.slow
async def test_an_id_of_a_megabyte(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    long = transmitter_pb2.PanoramaHeader(panorama_id="i" * 1_000_000)
    source = transmitter_pb2.PanoramaHeader(panorama_id="2", source="s" * 1_000_000)
    good = transmitter_pb2.PanoramaHeader(panorama_id="good")
    got = await answers(transmitter.address, encode_png(panorama), long, source, good)
    codes = {one.panorama_id: one.failure.code for one in got}
    assert codes == {"i" * 64: INVALID_ARGUMENT, "2": INVALID_ARGUMENT, "good": 0}


@pytest.mark.parametrize("service", ["channel", "receiver"])
@pytest.mark.parametrize("snr_db", [-4000.0, -1e308, 1e308, float("nan")])
async def test_an_snr_that_is_no_ratio(start: Start, service: str, snr_db: float) -> None:
    receiver = hop = await start("receiver")
    if service == "channel":
        hop = await start("channel", target=receiver.address, snr_db=10, seed=1)
    async with Client(receiver.address) as client:
        fingerprint = (await client.info()).models[0]["fingerprint"]
    async with open_channel(hop.address) as channel:
        stub: Any = link_pb2_grpc.LinkStub(channel)
        call = stub.Carry()
        header = link_pb2.BurstHeader(
            burst_id="1",
            model_fingerprint=fingerprint,
            segments=[link_pb2.SegmentFormat(payload_bytes=10, layer=link_pb2.LAYER_HEADER)],
            symbols=8,
            sample_format=link_pb2.SAMPLE_FORMAT_CF32_LE,
            channel_state=link_pb2.ChannelState(coefficients=1, coherence_symbols=8, snr_db=snr_db),
        )
        await call.write(link_pb2.Burst(header=header))
        await call.write(link_pb2.Burst(csi=bytes(8)))
        await call.write(link_pb2.Burst(samples=bytes(64)))
        await call.done_writing()
        (receipt,) = [message.header async for message in call]
    assert receipt.failure.code == INVALID_ARGUMENT and "snr_db" in receipt.failure.message


@pytest.mark.parametrize("realism", [-0.5, 1.5, math.nan, math.inf])
async def test_a_realism_beyond_its_range(start: Start, realism: float) -> None:
    receiver = await start("receiver")
    async with open_channel(receiver.address) as channel:
        stub: Any = receiver_pb2_grpc.ReceiverStub(channel)
        call = stub.Watch(iter([receiver_pb2.WatchRequest(realism=realism)]))
        with pytest.raises(grpc.aio.AioRpcError, match="allowed is a number from 0") as refused:
            async for _ in call:
                pass
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
