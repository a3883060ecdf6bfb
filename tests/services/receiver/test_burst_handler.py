"""What becomes of a received picture, with a pipeline whose pictures can be counted."""

import asyncio
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.errors import LimitError
from panolink.picture_format import PictureFormat
from panolink.rpc.flow_control.memory_budget import MemoryBudget
from panolink.rpc.wire.bursts import Burst
from panolink.services.receiver.burst_handler import BurstReceiver
from panolink.services.receiver.metrics import ReceiverMetrics
from panolink.services.receiver.pipeline import BurstState
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.receiver.stream_order import StreamOrder
from panolink.services.receiver.watchers import Watcher, Watchers, Wish
from panolink.v1 import link_pb2


class Models:
    """Its own decoder is of realism 0; that of 1 can no longer be loaded."""

    def with_fingerprint(self, _fingerprint: str) -> None: ...

    def realism_for(self, _codec: Any, wanted: float | None) -> float:
        return wanted or 0.0

    def realism_made(self, _codec: Any, realism: float) -> float:
        return 0.0 if realism == 1 else realism


class Pipeline:
    """Pictures of one colour, by realism; `most` tells how many were there at a time."""

    streams: tuple[()] = ()

    def __init__(self) -> None:
        self.pictures: list[weakref.ref[np.ndarray]] = []
        self.made: list[float] = []
        self.most = 0

    async def reconstruct(self, _codec: Any, realism: float, _reception: Any) -> np.ndarray:
        if realism == 0.25:
            raise MemoryError
        picture = np.full((128, 256, 3), int(200 * realism), np.uint8)
        self.pictures.append(weakref.ref(picture))
        self.made.append(realism)
        self.most = max(self.most, sum(one() is not None for one in self.pictures))
        return picture

    async def as_file(self, _reception: Any, picture: np.ndarray, format: PictureFormat) -> bytes:
        if format is PictureFormat.WEBP:
            raise LimitError("no room in a webp file")
        return f"{format} {picture.mean():g}".encode()

    async def tokens_as_file(self, _reception: Any) -> bytes:
        return b"kinds"


TURN = StreamOrder().begin("")


@pytest.fixture
def watchers() -> Watchers:
    return Watchers("newest", size=4, on_drop=lambda: None)


@pytest.fixture
def watching(watchers: Watchers) -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda *wish, **settings: stack.enter_context(watchers.join(Wish(*wish), **settings))


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture
def receiver(watchers: Watchers, pipeline: Pipeline) -> BurstReceiver:
    models: Any = Models()
    stub: Any = pipeline
    return BurstReceiver(models, stub, watchers, ReceiverSettings(), ReceiverMetrics())


def shown(watcher: Watcher) -> tuple[int, float, bytes, bytes]:
    (panorama,) = watcher.queue.items
    return panorama.header.number, panorama.header.realism, panorama.picture, panorama.tokens


async def test_pictures_of_several_decoders_are_not_there_at_a_time(
    receiver: BurstReceiver, pipeline: Pipeline, watching: Any, tiny: Codec, panorama: np.ndarray
) -> None:
    wishes = [(PictureFormat.PNG,), (PictureFormat.PNG, 0.5), (PictureFormat.JPEG, 0.5), (PictureFormat.PNG, 1.0)]
    seen = [watching(*wish, tokens=place == 0) for place, wish in enumerate(wishes)]
    reception = BurstState(tokens=tiny.tokens_at(panorama, 0.2))
    header = link_pb2.BurstHeader(burst_id="a", return_picture=True)
    assert await receiver._deliver(tiny, header, reception, TURN) == b"png 0"
    assert pipeline.made[0] == 0.0 and sorted(pipeline.made) == [0.0, 0.5, 1.0] and pipeline.most == 1
    assert [shown(one) for one in seen] == [
        (1, 0.0, b"png 0", b"kinds"),
        (1, 0.5, b"png 100", b"kinds"),
        (1, 0.5, b"jpeg 100", b"kinds"),
        (1, 0.0, b"png 200", b"kinds"),  # the decoder that was there in its place
    ]


async def test_where_nobody_looks_a_picture_is_made_and_has_no_number(
    receiver: BurstReceiver, pipeline: Pipeline, watching: Any, tiny: Codec, panorama: np.ndarray
) -> None:
    reception = BurstState(tokens=tiny.tokens_at(panorama, 0.2))
    assert await receiver._deliver(tiny, link_pb2.BurstHeader(burst_id="a"), reception, TURN) == b""
    assert pipeline.made == [0.0]
    one = watching(PictureFormat.PNG)
    await receiver._deliver(tiny, link_pb2.BurstHeader(burst_id="b"), reception, TURN)
    assert shown(one) == (1, 0.0, b"png 0", b"")


async def test_what_cannot_be_made_for_one_viewer_is_there_for_the_others(
    receiver: BurstReceiver, watching: Any, tiny: Codec, panorama: np.ndarray
) -> None:
    reception = BurstState(tokens=tiny.tokens_at(panorama, 0.2))
    honest, webp, other_decoder = (
        watching(PictureFormat.PNG),
        watching(PictureFormat.WEBP),
        watching(PictureFormat.PNG, 0.25),
    )
    header = link_pb2.BurstHeader(burst_id="a", return_picture=True)
    assert await receiver._deliver(tiny, header, reception, TURN) == b"png 0"
    assert shown(honest) == (1, 0.0, b"png 0", b"")
    assert [one.dropped for one in (honest, webp, other_decoder)] == [0, 1, 1]
    assert not webp.queue.items and not other_decoder.queue.items


async def test_what_the_sender_asks_for_and_cannot_be_made_is_its_failure_alone(
    receiver: BurstReceiver, watching: Any, tiny: Codec, panorama: np.ndarray
) -> None:
    one = watching(PictureFormat.PNG)
    webp = link_pb2.PICTURE_FORMAT_WEBP
    header = link_pb2.BurstHeader(burst_id="a", return_picture=True, picture_format=webp)
    with pytest.raises(LimitError):
        await receiver._deliver(tiny, header, BurstState(tokens=tiny.tokens_at(panorama, 0.2)), TURN)
    assert shown(one) == (1, 0.0, b"png 0", b"")


async def test_memory_of_bursts_is_held_while_they_are_worked_on(watchers: Watchers) -> None:
    """Whether or not their streams last, and for those that the buffer of rounds has given up without soft bits."""
    gate, concluding = asyncio.Event(), 3

    class Decoder:
        needed, counts, rounds, header_lost, picture_unsent, held_bytes = (1,), {}, 1, True, False, 1 << 20
        soft = True

        def forget_soft_bits(self) -> None:
            self.soft = False

    class Slow(Pipeline):
        decoders: list[Decoder] = []  # noqa: RUF012

        async def hear(self, burst: Burst, reception: Any) -> None:
            reception.decoder = Decoder()
            self.decoders.append(reception.decoder)
            if not burst.header.HasField("harq"):
                await gate.wait()

    models: Any = Models()
    pipeline: Any = Slow()
    settings = ReceiverSettings(harq_bytes=1 << 20, queue_size=concluding)
    receiver = BurstReceiver(models, pipeline, watchers, settings, ReceiverMetrics())
    memory = MemoryBudget(10)
    reservation = await memory.reserve(10)
    header = link_pb2.BurstHeader(burst_id="a")
    receipt = await receiver.accept(Burst(header, np.ones(1), np.ones(1), reservation))
    reservation.release()  # its stream has broken
    await asyncio.sleep(0.01)
    assert memory.used == 10
    gate.set()
    await asyncio.wait_for(receipt, 10)
    assert memory.used == 0
    for number in range(6):
        header = link_pb2.BurstHeader(burst_id=f"h-{number}", harq=link_pb2.Harq(rounds_left=1, wait_seconds=30))
        await asyncio.wait_for(await receiver.accept(Burst(header, np.ones(1), np.ones(1))), 10)
    await asyncio.sleep(0.01)
    assert [one.soft for one in pipeline.decoders[1:]] == [False] * 5 + [True], "one has room and may get its round"


class Gated(Pipeline):
    """Holds rounds and pictures up until they are let go; what becomes of a burst says how it was called."""

    def __init__(self, tokens: Any) -> None:
        super().__init__()
        self.tokens, self.needed, self.unpacked = tokens, (), []
        self.gates: dict[str, asyncio.Event] = {}
        """by the stage and the burst's id"""

    def hold(self, *names: str) -> None:
        self.gates |= {name: asyncio.Event() for name in names}

    async def _pass(self, name: str) -> None:
        if name in self.gates:
            await self.gates[name].wait()

    async def hear(self, burst: Burst, reception: Any) -> None:
        await self._pass(f"hear {burst.header.burst_id}")
        needed = list(burst.header.harq.numbers)  # tests say so what a round leaves missing
        reception.decoder = SimpleNamespace(
            needed=needed, counts={}, rounds=1, header_lost=False, picture_unsent=False, held_bytes=1
        )
        reception.decoder.forget_soft_bits = lambda: None
        reception.name = burst.header.burst_id

    async def unpack(self, _codec: Any, reception: Any, _stream: str, sequence: int) -> None:
        await self._pass(f"unpack {reception.name}")
        self.unpacked.append(reception.name)
        reception.tokens = self.tokens

    async def reconstruct(self, _codec: Any, realism: float, reception: Any) -> np.ndarray:
        await self._pass(f"decode {reception.name}")
        return await super().reconstruct(_codec, realism, reception)


class Sender:
    """Bursts of one stream to a receiver."""

    def __init__(self, receiver: BurstReceiver) -> None:
        self.receiver = receiver

    async def send(self, name: str, *, sequence: int = 0, missing: Sequence[int] | None = None) -> asyncio.Future[Any]:
        header = link_pb2.BurstHeader(burst_id=name, source=name, stream_id="s" if sequence else "", sequence=sequence)
        if missing is not None:
            header.harq.CopyFrom(link_pb2.Harq(rounds_left=1, wait_seconds=60, numbers=missing))
        answer = await self.receiver.accept(Burst(header, np.ones(1), np.ones(1)))
        return asyncio.ensure_future(answer)


@pytest.fixture
def gated(tiny: Codec, panorama: np.ndarray) -> Gated:
    return Gated(tiny.tokens_at(panorama, 0.2))


@pytest.fixture
def sender(watchers: Watchers, gated: Gated) -> Sender:
    models: Any = Models()
    stub: Any = gated
    return Sender(BurstReceiver(models, stub, watchers, ReceiverSettings(), ReceiverMetrics()))


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_burst_that_comes_again_without_rounds_blocks_nothing(sender: Sender, gated: Gated) -> None:
    """Such as from a transmitter that was restarted, while the first round is still decoded."""
    gated.hold("hear a")
    first = await sender.send("a", missing=())
    again = await sender.send("a")
    await settled()
    gated.gates["hear a"].set()
    answers = await asyncio.wait_for(asyncio.gather(first, again), 10)
    assert [answer.header.HasField("failure") for answer in answers] == [False, False]
    assert gated.unpacked == ["a"]


async def test_a_receiver_that_stops_while_a_first_round_is_decoded_ends(sender: Sender, gated: Gated) -> None:
    gated.hold("hear a")
    first = await sender.send("a", missing=())
    closing = asyncio.create_task(sender.receiver.finish())
    await settled()
    gated.gates["hear a"].set()
    await asyncio.wait_for(asyncio.gather(closing, first), 10)


async def test_pictures_of_a_stream_are_shown_in_order_however_long_each_takes(
    sender: Sender, gated: Gated, watching: Any
) -> None:
    one = watching(PictureFormat.PNG)
    gated.hold("hear 1", "unpack 2", "decode 3")
    answers = [await sender.send(str(number), sequence=number) for number in (1, 2, 3, 4)]
    other = await sender.send("other")
    await asyncio.wait_for(other, 10)
    assert gated.unpacked == ["other"], "a stream holds nothing else up"
    for name, unpacked, shown in (
        ("hear 1", ["1"], ["1"]),
        ("unpack 2", ["1", "2", "3", "4"], ["1", "2"]),
        ("decode 3", ["1", "2", "3", "4"], ["1", "2", "3", "4"]),
    ):
        gated.gates[name].set()
        await settled()
        assert gated.unpacked[1:] == unpacked, name
        assert [panorama.header.source for panorama in one.queue.items][1:] == shown or one.dropped
    await asyncio.wait_for(asyncio.gather(*answers), 10)


async def test_a_picture_that_waits_for_a_round_is_shown_before_the_next_one(
    sender: Sender, gated: Gated, watching: Any
) -> None:
    """With what has come of it: after the next one it would not be shown at all."""
    one = watching(PictureFormat.PNG)
    asked = await asyncio.wait_for(await sender.send("1", sequence=1, missing=[3]), 10)
    assert list(asked.header.needed) == [3] and not one.queue.items
    later = await sender.send("3", sequence=3)
    await asyncio.wait_for(later, 10)
    assert [panorama.header.source for panorama in one.queue.items] == ["1", "3"]
    waits = await asyncio.wait_for(await sender.send("2", sequence=2, missing=[3]), 10)
    assert list(waits.header.needed) == [3]
    await asyncio.wait_for(await sender.send("4", sequence=4, missing=()), 10)
    assert gated.unpacked == ["1", "3", "2", "4"]


async def test_a_picture_whose_rounds_are_complete_goes_before_one_that_is_not_yet_heard(
    sender: Sender, gated: Gated
) -> None:
    await asyncio.wait_for(await sender.send("5", sequence=5, missing=[3]), 10)
    gated.hold("hear 6")
    six = await sender.send("6", sequence=6)
    header = link_pb2.BurstHeader(burst_id="5", source="5", stream_id="s", sequence=5)
    header.harq.CopyFrom(link_pb2.Harq(round=1))
    five = asyncio.ensure_future(await sender.receiver.accept(Burst(header, np.ones(1), np.ones(1))))
    await settled()
    gated.gates["hear 6"].set()
    await asyncio.wait_for(asyncio.gather(five, six), 10)
    assert gated.unpacked == ["5", "6"]


async def test_a_later_picture_that_cannot_be_shown_leaves_the_earlier_one_its_rounds(
    sender: Sender, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.wait_for(await sender.send("5", sequence=5, missing=[3]), 10)
    hear = gated.hear

    async def without_header(burst: Burst, reception: Any) -> None:
        await hear(burst, reception)
        reception.decoder.header_lost = True

    monkeypatch.setattr(gated, "hear", without_header)
    six = await asyncio.wait_for(await sender.send("6", sequence=6), 10)
    assert "header segment was lost" in six.header.failure.message
    assert not gated.unpacked and len(sender.receiver._rounds) == 1
