import asyncio
from collections.abc import AsyncGenerator, Awaitable

import pytest

from panolink.errors import BitstreamError
from panolink.rpc.transport.stream_handler import map_concurrent


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
