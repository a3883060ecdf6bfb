"""Transmitter, channel and receiver together, with a tiny model: what each owes the others."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
from PIL import Image

from panolink.client import Client
from panolink.images import encode_png
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.flow_control.streams import Streams
from panolink.rpc.server.server import Server
from panolink.rpc.transport.carry import LinkEndpoint
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.rpc.wire.deliveries import Delivery, ReceivedPanorama
from panolink.sphere.metadata import SphereMetadata
from panolink.v1 import link_pb2, link_pb2_grpc, transmitter_pb2, transmitter_pb2_grpc
from tests.services.kept_bursts import Keeper, next_hop

Start = Callable[..., Awaitable[Server]]


async def sent(target: str, panoramas: Any, **options: Any) -> dict[str, Delivery]:
    """All deliveries by source; each panorama has exactly one."""
    async with Client(target, reconnect_timeout=1) as link:
        deliveries = [delivery async for delivery in link.send(panoramas, **options)]
    by_source = {delivery.source: delivery for delivery in deliveries}
    assert len(by_source) == len(deliveries)
    return by_source


def sample(metrics: Any, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"panolink_{name}", labels) or 0.0


@pytest.mark.slow
async def test_a_panorama_crosses_and_everything_is_told(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, snr_db=20, seed=1)
    transmitter = await start("transmitter", target=channel.address)
    got = await sent(transmitter.address, [("one", panorama), ("two", panorama)], activation=True)
    for delivery in got.values():
        assert delivery.delivered
        assert delivery.error is None
        assert delivery.picture is not None
        assert delivery.picture.shape == panorama.shape
        assert delivery.activation is not None
        assert delivery.activation.size == delivery.tokens
        assert delivery.bpp == pytest.approx(sum(delivery.bits.values()) / (256 * 128), rel=0.05)
        assert delivery.symbols_per_pixel == delivery.symbols / (256 * 128)
        assert delivery.snr_db == pytest.approx(20)
        assert delivery.segments.sent == sum(delivery.segments.sent_by_layer.values()) > 0
        stages = {"decode_image", "encode", "quantize", "entropy_code", "fec_encode", "channel"}
        assert stages | {"fec_decode", "entropy_decode", "decode", "total"} <= set(delivery.seconds)
        assert delivery.seconds["total"] >= delivery.seconds["decode"]
    assert sample(transmitter.metrics, "panoramas_total", code="OK") == 2
    assert sample(receiver.metrics, "panoramas_total", code="OK") == 2
    assert sample(transmitter.metrics, "end_to_end_seconds_count") == 2
    assert sample(channel.metrics, "stage_seconds_count", stage="channel") == 2
    one = got["one"]
    assert sample(transmitter.metrics, "coded_bytes_total", layer="indices") == 2 * one.bits["indices"] / 8
    for service in (transmitter, channel, receiver):
        assert sample(service.metrics, "symbols_total") == 2 * one.symbols
        assert sample(service.metrics, "segments_sent_total", layer="header") == 2
        assert sample(service.metrics, "in_flight") == 0


@pytest.mark.slow
async def test_pictures_come_in_the_format_that_is_asked_for(start: Start, panorama: np.ndarray) -> None:
    """To the sender and to each watcher its own; the lossless ones are the same picture."""
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    starts = {"png": b"\x89PNG", "webp": b"RIFF", "jpeg": b"\xff\xd8\xff", "rgb8": b"P6"}

    async def first(format: str) -> ReceivedPanorama:
        async with Client(receiver.address) as viewer:
            async for seen in viewer.watch(count=1, picture_format=format):
                return seen
        raise AssertionError("nothing came")

    watching = {format: asyncio.create_task(first(format)) for format in starts}
    await asyncio.sleep(0.2)
    (delivery,) = (await sent(transmitter.address, [("a", panorama)], picture_format="jpeg")).values()
    seen = {format: await watch for format, watch in watching.items()}
    for format, start_of_file in starts.items():
        assert seen[format].file.startswith(start_of_file)
        assert (seen[format].width, seen[format].number) == (256, 1)
    for format in ("webp", "rgb8"):
        assert np.array_equal(seen[format].array, seen["png"].array)
    assert delivery.picture is not None and np.array_equal(delivery.picture, seen["jpeg"].array)
    assert 0 < np.abs(delivery.picture.astype(int) - seen["png"].array).mean() < 3
    with pytest.raises(ValueError, match="'gif'; there are png"):
        await sent(transmitter.address, [("a", panorama)], picture_format="gif")


@pytest.mark.slow
async def test_the_pose_of_the_camera_crosses_too(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    poses = {"north": SphereMetadata(heading=0), "tilted": SphereMetadata(225.5, -17, 12), "unknown": SphereMetadata()}
    files = [(name, encode_png(panorama, sphere=sphere)) for name, sphere in poses.items()]
    got = await sent(transmitter.address, files, bpp=0.5)
    assert {name: delivery.sphere for name, delivery in got.items()} == poses
    got = await sent(transmitter.address, [files[1]], tau=0.5, analogue=True)
    assert got["tilted"].sphere == poses["tilted"] and got["tilted"].as_dict()["sphere"]["heading"] == 225.5


@pytest.mark.slow
@pytest.mark.parametrize("sample_format", ["cf32_le", "ci16_le"])
async def test_the_channel_may_be_left_out(start: Start, panorama: np.ndarray, sample_format: str) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, sample_format=sample_format)
    (delivery,) = (await sent(transmitter.address, [panorama], tau=0.5)).values()
    assert delivery.delivered
    assert delivery.snr_db is None
    assert delivery.segments.lost == 0
    assert 0.3 < delivery.kept / delivery.tokens <= 0.5


@pytest.mark.slow
async def test_bad_input_fails_alone_and_says_why(start: Start, panorama: np.ndarray, tmp_path: Path) -> None:
    receiver = await start("receiver")
    transmitter = await start(
        "transmitter", target=receiver.address, max_image_pixels=256 * 128, max_image_bytes=200_000
    )

    def file(array: np.ndarray, kind: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, kind)
        return buffer.getvalue()

    good = file(panorama)
    bad: dict[str, tuple[Any, str, str]] = {
        "text.jpg": (b"this is no picture", "INVALID_ARGUMENT", "not an image"),
        "empty.jpg": (b"", "INVALID_ARGUMENT", "empty"),
        "cut.png": (good[: len(good) // 2], "INVALID_ARGUMENT", "truncated"),
        "dot.png": (file(panorama[:1, :1]), "INVALID_ARGUMENT", "too small"),
        "square.png": (file(panorama[:, :128]), "INVALID_ARGUMENT", "2:1"),
        "wide.png": (file(np.zeros((160, 320, 3), np.uint8)), "RESOURCE_EXHAUSTED", "pixels"),
        "heavy.bin": (bytes(200_001), "INVALID_ARGUMENT", "not an image"),
        "float.npy": (panorama.astype(np.float32), "INVALID_ARGUMENT", "uint8"),
    }
    panoramas = [("first", good), *((name, data) for name, (data, _, _) in bad.items()), ("last", good)]
    got = await sent(transmitter.address, [*panoramas, tmp_path / "nowhere.jpg", tmp_path])
    for name, (_, code, reason) in bad.items():
        assert not got[name].delivered
        assert got[name].code == code, got[name]
        assert name in (got[name].error or "")
        assert reason in (got[name].error or "")
        assert "\n" not in (got[name].error or "")
    assert got["first"].delivered
    assert got["last"].delivered
    assert not got[str(tmp_path / "nowhere.jpg")].delivered
    assert not got[str(tmp_path)].delivered
    square = await sent(transmitter.address, [("square.png", bad["square.png"][0])], allow_any_aspect=True)
    assert square["square.png"].delivered
    async with Client(transmitter.address) as link:
        link.image_bytes = 1 << 20  # does not keep to the transmitter's limit
        (heavy,) = [delivery async for delivery in link.send([np.zeros((200, 400, 3), np.uint8)])]
    assert heavy.code == "RESOURCE_EXHAUSTED" and "bytes in an image file" in (heavy.error or "")


async def test_bad_rates_and_unknown_models(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    for options, code, reason in (
        ({"bpp": -1.0}, "INVALID_ARGUMENT", "bpp"),
        ({"bpp": 1e-6}, "INVALID_ARGUMENT", "least"),
        ({"tau": 2.0}, "INVALID_ARGUMENT", "tau"),
        ({"model": "huge"}, "FAILED_PRECONDITION", "no model 'huge' here, there is tiny0"),
    ):
        (delivery,) = (await sent(transmitter.address, [panorama], **options)).values()
        assert (delivery.delivered, delivery.code) == (False, code)
        assert reason in (delivery.error or "")


@pytest.mark.slow
async def test_a_receiver_refuses_a_model_that_it_does_not_hold(
    start: Start, panorama: np.ndarray, weights: Callable[[int], Path]
) -> None:
    receiver = await start("receiver", models=(str(weights(0)),))
    transmitter = await start("transmitter", target=receiver.address, models=(str(weights(1)), str(weights(0))))
    async with Client(transmitter.address) as link, Client(receiver.address) as end:
        theirs, common = (model["fingerprint"] for model in (await link.info()).models)
        (held,) = (model["fingerprint"] for model in (await end.info()).models)
        (refused,) = [delivery async for delivery in link.send([panorama])]
        (accepted,) = [delivery async for delivery in link.send([panorama], model="tiny0")]
    assert held == common
    assert refused.code == "FAILED_PRECONDITION"
    assert theirs in (refused.error or "")
    assert held in (refused.error or "")
    assert accepted.delivered


async def test_a_lost_header_is_data_loss_not_silence(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, snr_db=-30, seed=1)
    transmitter = await start("transmitter", target=channel.address)
    (delivery,) = (await sent(transmitter.address, [panorama])).values()
    assert (delivery.delivered, delivery.code) == (False, "DATA_LOSS")
    assert delivery.segments.lost == delivery.segments.sent > 0
    assert sample(receiver.metrics, "segments_lost_total", layer="header") == 1


@pytest.mark.slow
async def test_viewers_see_what_arrives(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver", watch_policy="block", watch_queue=1)
    transmitter = await start("transmitter", target=receiver.address)

    async def look() -> list[Any]:
        async with Client(receiver.address) as client:
            return [seen async for seen in client.watch(count=3)]

    looking = asyncio.create_task(look())
    while not sample(receiver.metrics, "streams", kind="watch"):
        await asyncio.sleep(0.01)
    deliveries = await sent(transmitter.address, [(f"p{n}", panorama) for n in range(3)], picture=True)
    seen = await asyncio.wait_for(looking, 10)
    assert sorted(panorama.source for panorama in seen) == ["p0", "p1", "p2"]
    assert [panorama.number for panorama in seen] == [1, 2, 3]
    for panorama_seen in seen:
        np.testing.assert_array_equal(panorama_seen.array, deliveries[panorama_seen.source].picture)
        assert panorama_seen.dropped == 0


@pytest.mark.slow
async def test_channels_and_receivers_may_be_several(start: Start, panorama: np.ndarray) -> None:
    receivers = [await start("receiver") for _ in range(2)]
    target = ",".join(receiver.address for receiver in receivers)
    channels = [await start("channel", target=target, snr_db=20, seed=1) for _ in range(2)]
    transmitter = await start("transmitter", target=",".join(channel.address for channel in channels))
    got = await sent(transmitter.address, [(str(number), panorama) for number in range(8)], picture=False)
    assert all(delivery.delivered for delivery in got.values())
    assert [sample(channel.metrics, "stage_seconds_count", stage="channel") for channel in channels] == [4, 4]
    assert sum(sample(receiver.metrics, "panoramas_total", code="OK") for receiver in receivers) == 8
    assert sample(transmitter.metrics, "replicas", state="connected") == 2


@pytest.mark.slow
async def test_a_panorama_that_is_sent_again_is_received_once(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver", watch_policy="block")
    channel = await start("channel", target=receiver.address, snr_db=20)
    image = encode_png(panorama)

    async def send_once(sender: str) -> transmitter_pb2.DeliveryHeader:
        """Through a transmitter that ends when it has answered."""
        transmitter = await start("transmitter", target=channel.address)
        async with open_channel(transmitter.address) as connection:
            stub: Any = transmitter_pb2_grpc.TransmitterStub(connection)
            header = transmitter_pb2.PanoramaHeader(panorama_id="7", sender=sender, image_bytes=len(image))
            call = stub.Transmit()
            await call.write(transmitter_pb2.TransmitRequest(header=header))
            await call.write(transmitter_pb2.TransmitRequest(image=image))
            delivery = (await call.read()).header
            call.cancel()
        return delivery

    async with Client(receiver.address) as client:
        watching = asyncio.create_task(_all_of(client.watch(count=2)))
        while not sample(receiver.metrics, "streams", kind="watch"):
            await asyncio.sleep(0.01)
        first, again = await send_once("5f3a"), await send_once("5f3a")
        another = await send_once("77c0")
        seen = await asyncio.wait_for(watching, 10)
    assert not any(delivery.HasField("failure") for delivery in (first, again, another))
    assert list(again.segments) == list(first.segments)
    assert [shown.burst_id for shown in seen] == ["5f3a-7", "77c0-7"]
    assert sample(receiver.metrics, "panoramas_total", code="OK") == 2
    assert sample(receiver.metrics, "repeats_total") == 1


@pytest.mark.slow
async def test_two_senders_of_one_name_are_told_and_neither_is_shown_for_the_other(
    start: Start, panorama: np.ndarray
) -> None:
    receiver = await start("receiver")
    transmitters = [await start("transmitter", target=receiver.address) for _ in range(2)]
    images = [encode_png(panorama), encode_png(panorama[::-1].copy())]

    async def send(transmitter: Server, image: bytes, **header: Any) -> transmitter_pb2.DeliveryHeader:
        asked = transmitter_pb2.PanoramaHeader(panorama_id="1", sender="same", image_bytes=len(image), **header)
        async with open_channel(transmitter.address) as connection:
            stub: Any = transmitter_pb2_grpc.TransmitterStub(connection)
            call = stub.Transmit()
            await call.write(transmitter_pb2.TransmitRequest(header=asked))
            await call.write(transmitter_pb2.TransmitRequest(image=image))
            delivery = (await call.read()).header
            call.cancel()
        return delivery

    first = await send(transmitters[0], images[0], tau=0.5)
    again = await send(transmitters[1], images[0], tau=0.5)
    assert not first.HasField("failure") and not again.HasField("failure")
    for image, rate in ((images[1], 0.5), (images[0], 0.25)):
        other = await send(transmitters[1], image, tau=rate)
        assert other.failure.code == grpc.StatusCode.ALREADY_EXISTS.value[0], other
        assert "same-1" in other.failure.message and "used before" in other.failure.message
    assert sample(receiver.metrics, "panoramas_total", code="OK") == 1
    assert sample(receiver.metrics, "panoramas_total", code="ALREADY_EXISTS") == 2


async def _all_of(items: Any) -> list[Any]:
    return [item async for item in items]


class Slow:
    """A `BurstHandler` that takes its time, and counts."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.held = self.most = self.taken = 0

    def check(self, header: link_pb2.BurstHeader) -> None: ...

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        self.taken += 1
        self.held += 1
        self.most = max(self.most, self.held)

        async def receipt() -> Receipt:
            await asyncio.sleep(self.seconds)
            self.held -= 1
            return Receipt(link_pb2.ReceiptHeader(burst_id=burst.header.burst_id))

        return receipt()

    async def close(self) -> None: ...


@pytest.fixture
async def slow_hop() -> Any:
    """`await slow_hop(handler)` is a Link that is slow, as a receiver may be: its address and its server."""
    servers = []

    async def serve(handler: Slow) -> tuple[str, Any]:
        server: Any = grpc.aio.server()
        link = LinkEndpoint(lambda: handler, limits=Limits(), streams=Streams("link", limit=4), in_flight=2)
        link_pb2_grpc.add_LinkServicer_to_server(link, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        servers.append(server)
        return address, server

    yield serve
    for server in servers:
        await server.stop(None)


@pytest.mark.slow
async def test_a_slow_receiver_slows_the_sender(start: Start, panorama: np.ndarray, slow_hop: Any) -> None:
    handler = Slow(seconds=0.05)
    address, _ = await slow_hop(handler)
    channel = await start("channel", target=address, max_in_flight=2)
    transmitter = await start("transmitter", target=channel.address, max_in_flight=3)
    read = answered = most = most_in_service = 0

    def endless() -> Any:
        nonlocal read, most
        for number in range(15):
            read += 1
            most = max(most, read - answered)
            yield str(number), panorama

    async with Client(transmitter.address, in_flight=5) as link:
        async for delivery in link.send(endless()):
            assert delivery.delivered
            answered += 1
            most_in_service = max(most_in_service, int(sample(transmitter.metrics, "in_flight")))
    assert answered == handler.taken == 15
    assert most <= 5
    assert most_in_service <= 3
    assert handler.most <= 2


@pytest.mark.slow
async def test_what_is_under_way_when_a_hop_dies_is_reported_once(
    start: Start, panorama: np.ndarray, slow_hop: Any
) -> None:
    handler = Slow(seconds=60)
    address, hop = await slow_hop(handler)
    transmitter = await start("transmitter", target=address)
    sending = asyncio.create_task(sent(transmitter.address, [(str(n), panorama) for n in range(4)]))
    while handler.held < 2:
        await asyncio.sleep(0.01)
    await hop.stop(None)
    got = await sending
    assert sorted(got) == ["0", "1", "2", "3"]
    assert {delivery.code for delivery in got.values()} <= {"UNAVAILABLE", "CANCELLED"}
    assert sample(transmitter.metrics, "link_breaks_total") >= 1


@pytest.mark.slow
async def test_draining_delivers_what_is_under_way(start: Start, panorama: np.ndarray, slow_hop: Any) -> None:
    handler = Slow(seconds=0.3)
    address, _ = await slow_hop(handler)
    transmitter = await start("transmitter", target=address)
    sending = asyncio.create_task(sent(transmitter.address, [(str(n), panorama) for n in range(8)]))
    while handler.held < 2:
        await asyncio.sleep(0.01)
    await transmitter.drain()
    got = await sending
    assert len(got) == 8
    delivered = [delivery for delivery in got.values() if delivery.delivered]
    assert 2 <= len(delivered) == handler.taken
    assert {delivery.code for delivery in got.values() if not delivery.delivered} <= {"UNAVAILABLE"}


async def test_a_stream_may_be_empty(start: Start) -> None:
    transmitter = await start("transmitter", target="127.0.0.1:1")
    assert await sent(transmitter.address, []) == {}


@pytest.mark.parametrize("value", [7, None, 0.5, [7]])
async def test_what_is_no_panorama_is_a_type_error_that_names_what_is_taken(start: Start, value: Any) -> None:
    transmitter = await start("transmitter", target="127.0.0.1:1")
    with pytest.raises(TypeError, match="a path, an image file's bytes, a PIL image, a numpy array"):
        await sent(transmitter.address, value)


async def test_a_stream_out_of_order_ends_with_its_reason(start: Start) -> None:
    transmitter = await start("transmitter", target="127.0.0.1:1")
    async with open_channel(transmitter.address) as channel:
        stub: Any = transmitter_pb2_grpc.TransmitterStub(channel)
        call = stub.Transmit()
        await call.write(transmitter_pb2.TransmitRequest(image=b"before any header"))
        with pytest.raises(grpc.aio.AioRpcError, match="belongs to no header"):
            async for _ in call:
                pass
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_each_viewer_has_the_decoder_that_it_asked_for(start: Start, darker: Path, panorama: np.ndarray) -> None:
    receiver = await start("receiver", decoder=str(darker))
    transmitter = await start("transmitter", target=receiver.address)
    subscribed = [asyncio.Event() for _ in range(3)]

    async def viewer(decoder: str, here: asyncio.Event) -> ReceivedPanorama:
        async with Client(receiver.address) as link:
            return await anext(link.watch(decoder=decoder, on_subscribed=here.set))

    kinds = ("", "fidelity", "perceptual")
    watching = [asyncio.create_task(viewer(*one)) for one in zip(kinds, subscribed, strict=True)]
    async with asyncio.timeout(20):
        for here in subscribed:
            await here.wait()
        deliveries = await sent(transmitter.address, [("one", panorama)], tau=0.5)
        own, fidelity, absent = await asyncio.gather(*watching)
    assert [shown.decoder for shown in (own, fidelity, absent)] == ["", "fidelity", ""]
    assert own.number == fidelity.number == absent.number == 1
    assert fidelity.array.mean() > own.array.mean() + 4
    assert np.array_equal(own.array, absent.array)  # the receiver has no perceptual one of this model
    assert np.array_equal(deliveries["one"].picture, own.array)
    assert [shown.realism for shown in (own, fidelity, absent)] == [None, 0, None]


async def test_each_viewer_has_the_realism_that_it_asked_for(
    start: Start, darker: Path, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panolink.codec.model._perceptual_path", lambda model: darker)
    receiver = await start("receiver", realism=0.6)
    transmitter = await start("transmitter", target=receiver.address)
    wishes = {"own": {}, "fidelity": {"realism": 0.1}, "quarter": {"realism": 0.3}, "sharp": {"decoder": "perceptual"}}
    subscribed = {name: asyncio.Event() for name in wishes}

    async def viewer(name: str) -> ReceivedPanorama:
        async with Client(receiver.address) as link:
            return await anext(link.watch(**wishes[name], on_subscribed=subscribed[name].set))

    watching = {name: asyncio.create_task(viewer(name)) for name in wishes}
    async with asyncio.timeout(20):
        for here in subscribed.values():
            await here.wait()
        deliveries = await sent(transmitter.address, [("one", panorama)], tau=0.5)
        seen = {name: await task for name, task in watching.items()}
    told = {name: (shown.realism, shown.decoder) for name, shown in seen.items()}
    assert told == {"own": (0.6, ""), "fidelity": (0, "fidelity"), "quarter": (0.25, ""), "sharp": (1, "perceptual")}
    means = [seen[name].array.mean() for name in ("fidelity", "quarter", "own", "sharp")]
    assert means == sorted(means, reverse=True) and means[0] > means[-1] + 4
    assert np.array_equal(deliveries["one"].picture, seen["own"].array)
    async with Client(receiver.address) as link:
        with pytest.raises(ValueError, match="allowed is a number from 0"):
            await anext(link.watch(realism=1.5))
        with pytest.raises(ValueError, match=r"decoder fidelity is realism 0, not 0\.5"):
            await anext(link.watch(decoder="fidelity", realism=0.5))


async def test_a_picture_that_nobody_asked_for_goes_no_further(start: Start, panorama: np.ndarray) -> None:
    """This receiver returns one that is none, which a client would not read."""
    async with next_hop(Keeper()) as receiver:
        transmitter = await start("transmitter", target=receiver.address)
        async with Client(transmitter.address) as link:
            (delivery,) = [one async for one in link.send([panorama], picture=False, bpp=0.5)]
            assert delivery.delivered and delivery.picture is None
