"""Streams of pictures through transmitter, channel and receiver: what each knows of what the others hold."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from panolink.link.token_kinds import TokenKind
from panolink.rpc.server.server import Server
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.deliveries import Delivery, ReceivedPanorama
from panolink.services.receiver.stream_states import StreamStates
from panolink.services.transmitter import predicted_streams
from panolink.sphere.focus import Focus
from panolink.v1 import link_pb2, receiver_pb2, receiver_pb2_grpc

Start = Callable[..., Awaitable[Server]]


async def one_by_one(target: str, pictures: list[np.ndarray], **options: Any) -> list[Delivery]:
    """Each is sent when the one before it has been answered, as a live source does."""
    answered, got = asyncio.Semaphore(1), []

    async def source() -> AsyncGenerator[tuple[str, np.ndarray], None]:
        for number, picture in enumerate(pictures):
            await answered.acquire()
            yield f"{number}", picture

    async with Client(target, reconnect_timeout=1) as link:
        async for delivery in link.send(source(), stream="camera", **{"bpp": 0.4, **options}):
            got.append(delivery)
            answered.release()
    return got


def value(server: Server, name: str, **labels: str) -> float:
    return server.metrics.registry.get_sample_value(f"panolink_{name}", labels) or 0.0


async def test_a_stream_says_what_has_changed(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, snr_db=25, seed=1)
    transmitter = await start("transmitter", target=channel.address)
    got = await one_by_one(transmitter.address, [panorama] * 4)
    assert all(delivery.delivered for delivery in got)
    pictures = [delivery.stream for delivery in got]
    assert [picture.reference for picture in pictures if picture] == [0, 1, 2, 3]
    assert got[-1].symbols < got[0].symbols
    (last,) = pictures[-1:]
    assert last and last.unchanged + last.refined + last.new == got[-1].tokens
    assert got[-1].as_dict()["stream"]["reference"] == 3
    assert value(transmitter, "predicted_streams") == value(receiver, "stream_states") == 1
    assert value(receiver, "stream_state_bytes") > 0 and value(transmitter, "predicted_state_bytes") > 0


async def test_pictures_sent_all_at_once_are_in_order_and_predicted(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    async with Client(transmitter.address) as link:
        pictures = [(str(number), panorama) for number in range(8)]
        got = {d.source: d async for d in link.send(pictures, stream="s", bpp=0.4)}
    numbers = [got[str(number)].stream for number in range(8)]
    assert [picture.number for picture in numbers if picture] == list(range(1, 9))
    assert sum(picture.reference == 0 for picture in numbers if picture) == 1


async def test_what_the_channel_took_is_known_to_both(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, snr_db=4, model="rayleigh", coherence_symbols=200, seed=3)
    transmitter = await start("transmitter", target=channel.address)
    random = np.random.default_rng(0)
    noisy = [np.clip(panorama + random.normal(0, 9, panorama.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    got = await one_by_one(transmitter.address, noisy)
    assert sum(delivery.segments.lost for delivery in got)
    assert any(delivery.delivered for delivery in got)
    assert value(receiver, "references_needed_total") == 0  # a wrong mirror would ask for states that never were


async def test_a_lost_reference_is_answered_within_the_same_delivery(
    start: Start, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    forgetting, get = [False], StreamStates.get

    def forgetful(self: StreamStates, *key: Any) -> Any:
        if forgetting[0]:
            forgetting[0] = False
            self._decoders.clear()
        return get(self, *key)

    monkeypatch.setattr(StreamStates, "get", forgetful)
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    answered, got = asyncio.Semaphore(1), []

    async def source() -> AsyncGenerator[tuple[str, np.ndarray], None]:
        for number in range(3):
            await answered.acquire()
            if number == 2:
                forgetting[0] = True
            yield f"{number}", panorama

    async with Client(transmitter.address) as link:
        async for delivery in link.send(source(), stream="camera", bpp=0.4):
            got.append(delivery)
            answered.release()
    assert [delivery.delivered for delivery in got] == [True] * 3
    assert got[2].stream and got[2].stream.reference == 0
    assert value(transmitter, "references_needed_total") == value(receiver, "references_needed_total") == 1
    symbols = sum(delivery.symbols for delivery in got if delivery.symbols)
    assert symbols == value(transmitter, "symbols_total") == value(receiver, "symbols_total"), "of what was in vain too"


async def test_pictures_that_were_sent_again_are_not_shown_after_later_ones(
    start: Start, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    """A receiver that has forgotten gets a picture whole, by when those after it may have come."""
    get, calls = StreamStates.get, []

    def forgetful(self: StreamStates, *key: Any) -> Any:
        calls.append(key)
        if len(calls) == 4:
            self._decoders.clear()
        return get(self, *key)

    monkeypatch.setattr(StreamStates, "get", forgetful)
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    shown: list[str] = []

    async def viewer() -> None:
        async with Client(receiver.address) as link:
            async for picture in link.watch():
                shown.append(picture.source)

    watching = asyncio.create_task(viewer())
    while not value(receiver, "viewers"):
        await asyncio.sleep(0.05)
    async with Client(transmitter.address) as link:
        pictures = [(f"{number:02d}", panorama) for number in range(12)]
        got = [delivery async for delivery in link.send(pictures, stream="s", bpp=0.4)]
    assert all(delivery.delivered for delivery in got)
    overtaken = {delivery.source for delivery in got if delivery.stream and delivery.stream.overtaken}
    assert len(overtaken) == value(receiver, "late_pictures_total") < 12
    newest = max({source for source, _ in pictures} - overtaken)
    async with asyncio.timeout(30):
        while newest not in shown:
            await asyncio.sleep(0.05)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert shown == sorted(shown) and not overtaken & set(shown)


async def test_a_mean_rate_lets_the_first_picture_borrow(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    mean = 0.1 * panorama.shape[0] * panorama.shape[1]
    got = await one_by_one(transmitter.address, [panorama] * 5, bpp=None, mean_bits=mean)
    assert all(delivery.delivered for delivery in got), got[0].error
    assert got[0].bpp > 0.1 and all(delivery.bpp <= 0.1 for delivery in got[1:])


async def test_gazes_come_back_to_the_transmitter(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    looking, shown = asyncio.Event(), []

    async def gazes() -> AsyncGenerator[Focus, None]:
        yield Focus(90, -10, 60)
        await looking.wait()

    async def viewer() -> None:
        async with Client(receiver.address) as link:
            async for picture in link.watch(count=1, gazes=gazes()):
                shown.append(picture)

    watching = asyncio.create_task(viewer())
    while not value(receiver, "viewers"):
        await asyncio.sleep(0.05)
    got = await one_by_one(transmitter.address, [panorama] * 4, follow_gaze=True)
    await asyncio.wait_for(watching, 10)
    assert isinstance(shown[0], ReceivedPanorama)
    assert got[0].stream and not got[0].stream.focus
    (focus,) = got[1].stream.focus  # type: ignore[union-attr]
    assert abs(focus.yaw - 90) < 1 and abs(focus.pitch + 10) < 1 and focus.width > 55


async def test_who_watches_may_see_kinds_of_tokens_and_foci(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    watched: dict[bool, list[ReceivedPanorama]] = {True: [], False: []}

    async def viewer(tokens: bool) -> None:
        async with Client(receiver.address) as link:
            watched[tokens].extend([picture async for picture in link.watch(count=2, tokens=tokens)])

    watching = [asyncio.create_task(viewer(tokens)) for tokens in watched]
    while value(receiver, "viewers") < 2:
        await asyncio.sleep(0.05)
    got = await one_by_one(transmitter.address, [panorama] * 2, focus=[Focus(90, 0)])
    await asyncio.wait_for(asyncio.gather(*watching), 10)
    assert all(picture.kinds is None for picture in watched[False])
    for picture, delivery in zip(watched[True], got, strict=True):
        assert picture.kinds is not None and delivery.stream is not None
        counts = [int((picture.kinds == kind).sum()) for kind in TokenKind]
        assert counts[0] == 0 and sum(counts) == delivery.tokens
        told = (delivery.stream.unchanged, delivery.stream.refined, delivery.stream.new)
        assert (counts[1], counts[2], counts[3] + counts[4]) == told
        assert picture.focus == delivery.stream.focus != ()


async def test_clients_that_know_of_no_gazes_watch_as_before(start: Start, panorama: np.ndarray):
    """Until version 0.2 Watch took a single request."""
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    async with open_channel(receiver.address) as channel:
        watch: Any = channel.unary_stream(
            "/panolink.v1.Receiver/Watch",
            request_serializer=receiver_pb2.WatchRequest.SerializeToString,
            response_deserializer=receiver_pb2.ReceivedPanorama.FromString,
        )
        call = watch(receiver_pb2.WatchRequest(count=1))
        await call.initial_metadata()
        await one_by_one(transmitter.address, [panorama])
        messages = [message async for message in call]
    assert messages[0].header.number == 1 and sum(len(message.picture) for message in messages[1:])


async def test_gazes_that_make_no_sense_are_counted_and_disturb_nobody(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    done = asyncio.Event()

    async def requests() -> AsyncGenerator[receiver_pb2.WatchRequest, None]:
        yield receiver_pb2.WatchRequest(count=1)
        for yaw, pitch in ((float("nan"), 0), (0, 91), (1e308, 0), (0, float("inf"))):
            yield receiver_pb2.WatchRequest(gaze=link_pb2.Gaze(yaw=yaw, pitch=pitch))
        await done.wait()

    async with open_channel(receiver.address) as channel:
        call: Any = receiver_pb2_grpc.ReceiverStub(channel).Watch(requests())  # type: ignore[no-untyped-call]
        await call.initial_metadata()
        await asyncio.sleep(0.2)
        (delivery,) = await one_by_one(transmitter.address, [panorama], follow_gaze=True)
        assert delivery.delivered
        assert [message async for message in call]
        done.set()
    assert value(receiver, "refused_gazes_total") == 4


async def test_ten_thousand_gazes_disturb_nobody(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    told = asyncio.Event()

    async def gazes() -> AsyncGenerator[Focus, None]:
        for number in range(10_000):
            yield Focus(number % 360, 0)
        told.set()
        await asyncio.sleep(60)

    async def viewer() -> None:
        async with Client(receiver.address) as link:
            async for _ in link.watch(gazes=gazes()):
                pass

    watching = asyncio.create_task(viewer())
    while not value(receiver, "viewers"):
        await asyncio.sleep(0.05)
    got = await asyncio.wait_for(one_by_one(transmitter.address, [panorama] * 3, follow_gaze=True), 20)
    assert all(delivery.delivered for delivery in got)
    await asyncio.wait_for(told.wait(), 20)
    (last,) = await one_by_one(transmitter.address, [panorama], follow_gaze=True)
    assert last.delivered
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_stream_that_changes_its_size_goes_on(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    half = np.ascontiguousarray(panorama[::2, ::2])
    got = await one_by_one(transmitter.address, [panorama, panorama, half, half, panorama])
    assert all(delivery.delivered for delivery in got)
    references = [delivery.stream.reference for delivery in got if delivery.stream]
    assert references == [0, 1, 0, 3, 0]


async def test_two_senders_may_call_their_streams_the_same(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    other = np.ascontiguousarray(panorama[:, ::-1])
    both = await asyncio.gather(*(one_by_one(transmitter.address, [p] * 3) for p in (panorama, other)))
    for got in both:
        assert [d.stream.reference for d in got if d.stream] == [0, 1, 2]
    assert value(receiver, "references_needed_total") == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bpp": None, "tau": 0.5}, "tau is for single pictures"),
        ({"focus": [Focus(k, 0) for k in (0, 50, 100, 150)]}, ""),
    ],
)
async def test_requests_that_make_no_sense_are_one_failed_item(
    start: Start, panorama: np.ndarray, options: dict[str, Any], says: str
):
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    (delivery,) = await one_by_one(transmitter.address, [panorama], **options)
    assert delivery.delivered is not bool(says) and says in (delivery.error or "")


async def test_what_is_for_streams_needs_a_name(start: Start, panorama: np.ndarray):
    receiver = await start("receiver")
    async with Client(receiver.address) as link:
        with pytest.raises(ValueError, match="give the stream a name"):
            [one async for one in link.send([panorama], follow_gaze=True)]


async def test_places_in_a_stream_are_its_sender_s(start: Start, panorama: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    """A transmitter that was restarted gets pictures again in any order, and counts from one."""
    places, is_newest = [], StreamStates.is_newest

    def noted(self: StreamStates, stream_id: str, codec: Any, number: int) -> bool:
        places.append(number)
        return is_newest(self, stream_id, codec, number)

    monkeypatch.setattr(StreamStates, "is_newest", noted)
    later = SimpleNamespace(count=lambda _first: iter(range(100, 200)))
    monkeypatch.setattr(predicted_streams, "itertools", later)
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    async with Client(transmitter.address) as link:
        pictures = [(f"{number}", panorama) for number in range(3)]
        assert all([delivery.delivered async for delivery in link.send(pictures, stream="s", bpp=0.4)])
    assert places == [1, 2, 3]
