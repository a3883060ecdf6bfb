import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any

import pytest

from panolink.errors import BitstreamError, LimitError
from panolink.rpc.flow_control.memory_budget import MemoryBudget
from panolink.rpc.flow_control.streams import OpenStream
from panolink.rpc.transport import stream_handler
from panolink.rpc.transport.stream_handler import map_concurrent, serve_stream
from panolink.rpc.wire.framing import Frame
from panolink.v1 import transmitter_pb2


class Load:
    """Items that count how many of them are under way."""

    def __init__(self, count: int) -> None:
        self.read = self.finished = self.most = 0
        self._count = count

    async def items(self) -> AsyncGenerator[int, None]:
        for number in range(self._count):
            self.read += 1
            self.most = max(self.most, self.read - self.finished)
            yield number

    async def accept(self, number: int) -> Awaitable[int]:
        return self._answer(number)

    async def _answer(self, number: int) -> int:
        await asyncio.sleep(0.001 * (number % 3))
        return number


async def test_every_item_has_one_answer_and_few_are_under_way() -> None:
    load = Load(20)
    answers = []
    async for answer in map_concurrent(load.items(), load.accept, in_flight=3):
        answers.append(answer)
        await asyncio.sleep(0.001)
        load.finished += 1
    assert sorted(answers) == list(range(20))
    assert load.most <= 3


async def test_a_taker_that_stops_stops_the_reading() -> None:
    load = Load(100)
    answers = map_concurrent(load.items(), load.accept, in_flight=2)
    await anext(answers)
    await asyncio.sleep(0.02)
    assert load.read == 2
    await answers.aclose()


async def test_answers_under_way_come_before_the_streams_error() -> None:
    async def broken() -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        raise BitstreamError("a chunk that belongs to no header")

    answers = []
    with pytest.raises(BitstreamError):
        async for answer in map_concurrent(broken(), Load(0).accept, in_flight=5):
            answers.append(answer)
    assert sorted(answers) == [1, 2]


async def test_a_fault_of_ours_is_not_swallowed() -> None:
    async def accept(number: int) -> Awaitable[int]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async for _ in map_concurrent(Load(3).items(), accept, in_flight=2):
            pass


async def items(*names: str) -> AsyncIterator[transmitter_pb2.TransmitRequest]:
    for name in names:
        yield transmitter_pb2.TransmitRequest(header=transmitter_pb2.PanoramaHeader(panorama_id=name))
        yield transmitter_pb2.TransmitRequest(image=b"image")


def served(messages: Any, accept: Any, **options: Any) -> AsyncGenerator[Any, None]:
    settings = {
        "admit": lambda header: {"image": 5},
        "failed": lambda header, error: error,
        "item_id": lambda header: header.panorama_id,
        "in_flight": 4,
        "stop": asyncio.Event(),
    }
    return serve_stream(messages, accept=accept, **(settings | options))


async def test_a_stream_whose_item_waits_to_be_accepted_is_in_use() -> None:
    stream, waiting = OpenStream(), asyncio.Event()

    async def accept(frame: Frame) -> Awaitable[str]:
        await waiting.wait()
        return asyncio.sleep(0, "answer")

    answers = served(items("a"), accept, stream=stream)
    first = asyncio.create_task(anext(answers))
    await asyncio.sleep(0.05)
    assert stream.idle_seconds == stream.stalled_seconds == 0
    waiting.set()
    assert await first == "answer"
    await answers.aclose()


async def test_a_stream_that_waits_for_memory_is_in_use() -> None:
    stream, memory = OpenStream(), MemoryBudget(5)
    others = await memory.reserve(5)

    async def accept(frame: Frame) -> Awaitable[str]:
        return asyncio.sleep(0, "answer")

    answers = served(items("a"), accept, stream=stream, memory=memory)
    first = asyncio.create_task(anext(answers))
    await asyncio.sleep(0.05)
    assert not first.done() and stream.idle_seconds == stream.stalled_seconds == 0
    others.release()
    assert await first == "answer"
    await answers.aclose()


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "never"])
async def test_answers_take_memory_until_they_are_taken(taken: bool) -> None:
    memory = MemoryBudget(100)

    async def accept(frame: Frame) -> Awaitable[bytes]:
        return asyncio.sleep(0, bytes(1000))

    answers = served(items("a", "b"), accept, memory=memory, answer_bytes=len)
    await anext(answers)
    await asyncio.sleep(0.05)
    assert memory.used >= 1000, "one is being written"
    if taken:
        assert len(await anext(answers)) == 1000
        assert [answer async for answer in answers] == []
    await answers.aclose()
    assert memory.used == 0


async def test_a_refused_stream_that_sends_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_handler, "_REFUSED_SECONDS", 0.05)

    async def silent() -> AsyncIterator[Any]:
        await asyncio.sleep(60)
        yield

    async with asyncio.timeout(10):
        with pytest.raises(LimitError):
            await anext(served(silent(), None, refusal=LimitError("full")))
