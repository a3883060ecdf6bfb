"""What a service takes on at a time, whatever is sent to it."""

import asyncio
import io
import resource
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.client import Client
from panolink.codec.bitstream import Header
from panolink.codec.resolution import WHOLE
from panolink.phy import Modulation, Scheme, SegmentFormat, modulate
from panolink.rpc.server.server import Server
from panolink.rpc.wire.bursts import Burst
from panolink.rpc.wire.deliveries import Delivery
from panolink.v1 import link_pb2
from tests.rpc.helpers import connected_client

Start = Callable[..., Awaitable[Server]]


async def sent(target: str, panoramas: Any, **options: Any) -> list[Delivery]:
    async with Client(target, in_flight=8) as link:
        return [delivery async for delivery in link.send(panoramas, **options)]


async def most(server: Server, name: str, task: asyncio.Task[Any]) -> float:
    """The highest value of a gauge while a task runs."""
    highest = 0.0
    while not task.done():
        highest = max(highest, server.metrics.registry.get_sample_value(f"panolink_{name}") or 0.0)
        await asyncio.sleep(0.001)
    return highest


@pytest.mark.slow
async def test_pictures_that_unpack_to_gigabytes_cost_nothing(start: Start) -> None:
    """1 bit a pixel: 17 MB here, 400 MB as RGB, and 20 KB on the wire."""
    file = io.BytesIO()
    Image.new("1", (16400, 8200)).save(file, "PNG")
    assert len(file.getvalue()) < 30_000
    transmitter = await start("transmitter", target="127.0.0.1:1")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    got = await sent(transmitter.address, [(f"bomb {n}", file.getvalue()) for n in range(8)])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert {delivery.code for delivery in got} == {"RESOURCE_EXHAUSTED"}
    assert all("16400×8200 pixels is more than the 134217728 allowed" in (delivery.error or "") for delivery in got)
    assert grown < 50_000  # KB


@pytest.mark.slow
async def test_pixels_unpacked_at_a_time_are_limited(start: Start, panorama: np.ndarray) -> None:
    pixels = panorama.shape[0] * panorama.shape[1]
    limits = {"max_pixels_under_way": pixels, "max_in_flight": 8, "workers": 4}
    receiver = await start("receiver", **limits)
    transmitter = await start("transmitter", target=receiver.address, **limits)
    task = asyncio.create_task(sent(transmitter.address, [(str(n), panorama) for n in range(8)]))
    highest = await asyncio.gather(*(most(server, "under_way_pixels", task) for server in (transmitter, receiver)))
    assert all(delivery.delivered for delivery in task.result())
    assert highest == [pixels, pixels]
    for server in (transmitter, receiver):
        assert server.metrics.registry.get_sample_value("panolink_under_way_pixels") == 0


@pytest.mark.slow
async def test_bytes_under_way_are_limited_over_all_streams(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, max_bytes_under_way=80_000)
    image = io.BytesIO()
    Image.fromarray(panorama).save(image, "PNG")
    assert 40_000 < len(image.getvalue()) < 80_000  # so one fits, and two do not
    senders = [sent(transmitter.address, [(f"{n} {m}", image.getvalue()) for m in range(3)]) for n in range(3)]
    task = asyncio.ensure_future(asyncio.gather(*senders))
    highest = await most(transmitter, "under_way_bytes", task)
    assert len(image.getvalue()) <= highest < 80_000, "one at a time, and the pictures of answers"
    assert [delivery.delivered for got in task.result() for delivery in got] == [True] * 9
    assert transmitter.metrics.registry.get_sample_value("panolink_under_way_bytes") == 0


@pytest.mark.slow
async def test_a_picture_that_cannot_fit_is_refused_before_memory_is_taken(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver", max_picture_bytes=1 << 20)  # 13,107 pixels at 80 bytes
    transmitter = await start("transmitter", target=receiver.address)
    (got,) = await sent(transmitter.address, [("too large", panorama)])
    assert got.code == "RESOURCE_EXHAUSTED" and "a picture of 256×128 pixels takes 2 MiB" in (got.error or "")
    transmitter = await start("transmitter", target=receiver.address, max_picture_bytes=1 << 20)
    (got,) = await sent(transmitter.address, [("too large", panorama)])
    assert got.code == "RESOURCE_EXHAUSTED" and "takes 3 MiB" in (got.error or "") and not got.symbols


async def test_a_burst_whose_picture_was_not_sent_costs_next_to_nothing(start: Start) -> None:
    """A header of 16384×8192, and all else `unsent`: 10 KB on the wire, and was 7 GB of memory and \"OK\"."""
    receiver = await start("receiver")
    async with Client(receiver.address) as client:
        fingerprint = (await client.info()).models[0]["fingerprint"]
    slices = 64
    lengths = (0, *[10] * slices, *[0] * slices)
    payload = Header(fingerprint, 16384, 8192, WHOLE, 1, slices, 1, lengths).to_bytes()
    fmt = SegmentFormat(len(payload), Scheme(Modulation.QPSK, 1 / 2))
    symbols = modulate([payload], [fmt])
    segments = [
        link_pb2.SegmentFormat(
            layer=link_pb2.LAYER_HEADER,
            payload_bytes=len(payload),
            modulation=link_pb2.MODULATION_QPSK,
            code_rate=0.5,
        ),
        *(link_pb2.SegmentFormat(layer=link_pb2.LAYER_INDICES, unsent=True) for _ in range(slices)),
        *(link_pb2.SegmentFormat(layer=link_pb2.LAYER_FEATURES) for _ in range(slices)),
    ]
    burst = Burst(
        link_pb2.BurstHeader(
            burst_id="1",
            model_fingerprint=fingerprint,
            segments=segments,
            sample_format=link_pb2.SAMPLE_FORMAT_CF32_LE,
            channel_state=link_pb2.ChannelState(coherence_symbols=len(symbols)),
            return_picture=True,
        ),
        np.ones(1, np.complex64),
        symbols,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with connected_client(receiver.address) as client:
        receipt = await (await client.send("1", burst))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB
    assert receipt.header.failure.code == 15 and "no segment of its picture was sent" in receipt.header.failure.message


async def test_limits_are_told_and_the_client_keeps_to_them(start: Callable[..., Awaitable[Server]]) -> None:
    """A picture of 96 KiB as BMP goes as PNG to a transmitter that takes 50 KiB."""
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, max_image_bytes=50_000, max_in_flight=2)
    buffer = io.BytesIO()
    picture = np.full((128, 256, 3), 90, np.uint8)
    Image.fromarray(picture).save(buffer, "BMP")
    noise = np.random.default_rng(0).integers(0, 256, picture.shape, np.uint8)
    async with Client(transmitter.address) as link:
        limits = (await link.info()).limits
        assert limits.items() >= {"image_bytes": 50_000, "in_flight": 2, "message_bytes": 1 << 20}.items()
        found = [one async for one in link.send([("flat.bmp", buffer.getvalue()), ("noise", noise)], picture=False)]
    flat, too_large = sorted(found, key=lambda one: int(one.id))
    assert len(buffer.getvalue()) > 50_000 and flat.delivered
    assert too_large.code == "RESOURCE_EXHAUSTED" and "send a smaller picture or a JPEG" in (too_large.error or "")
