"""Memory that streams share: bounded, in order, and given back whatever happens."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from panolink.errors import LimitError, LinkError, PanolinkError
from panolink.rpc.flow_control.memory_budget import MemoryBudget
from panolink.rpc.transport import stream_handler
from panolink.rpc.wire.framing import Frame, frames
from panolink.v1 import receiver_pb2

Message = receiver_pb2.ReceivedPanorama


async def test_who_does_not_fit_in_waits_for_the_turn() -> None:
    memory = MemoryBudget(10)
    first, second = await memory.reserve(6), await memory.reserve(4)
    assert memory.used == 10
    large, small = asyncio.create_task(memory.reserve(8)), asyncio.create_task(memory.reserve(1))
    await asyncio.sleep(0)
    second.release()
    await asyncio.sleep(0)
    assert not large.done() and not small.done()  # small ones do not overtake, or a large one would wait for ever
    first.release()
    first.release()
    held = [await large, await small]
    assert memory.used == 9
    for reservation in held:
        reservation.release()
    assert memory.used == 0


async def test_what_is_larger_than_the_room_gets_all_of_it() -> None:
    memory = MemoryBudget(10)
    reservation = await memory.reserve(1000)
    assert memory.used == 10
    reservation.release()
    assert memory.used == 0


async def test_nothing_is_lost_when_those_who_wait_give_up() -> None:
    memory = MemoryBudget(100)
    chance = random.Random(1)

    async def use() -> None:
        reservation = await memory.reserve(chance.randint(1, 150))
        try:
            await asyncio.sleep(chance.random() / 1000)
            assert memory.used <= 100
        finally:
            reservation.release()

    tasks = [asyncio.create_task(use()) for _ in range(300)]
    for task in chance.sample(tasks, 150):
        await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(result is None for result in results) >= 150
    assert memory.used == 0


def header(size: int, name: str = "") -> Message:
    return Message(header=receiver_pb2.ReceivedPanoramaHeader(picture_bytes=size, burst_id=name))


def admit(announced: receiver_pb2.ReceivedPanoramaHeader) -> dict[str, int]:
    if announced.picture_bytes > 1000:
        raise LimitError("too many bytes")
    return {"picture": announced.picture_bytes}


async def stream(*messages: Message, then: Any = None) -> AsyncIterator[Message]:
    for message in messages:
        yield message
    if isinstance(then, Exception):
        raise then
    if then:
        await then.wait()


async def answered(
    memory: MemoryBudget, source: AsyncIterator[Message], *, wait: asyncio.Event | None = None
) -> list[str]:
    async def accept(frame: Frame) -> Any:
        async def answer() -> str:
            if wait:
                await wait.wait()
            return frame.header.burst_id

        return answer()

    answers = stream_handler.serve_stream(
        source,
        admit=admit,
        accept=accept,
        failed=lambda header, error: f"{header.burst_id}: {error}",
        item_id=lambda header: header.burst_id,
        in_flight=4,
        stop=asyncio.Event(),
        memory=memory,
    )
    return [answer async for answer in answers]


async def test_items_hold_what_has_arrived_until_they_are_answered() -> None:
    memory, wait = MemoryBudget(100), asyncio.Event()
    messages = [part for name in "abc" for part in (header(60, name), Message(picture=bytes(60)))]
    task = asyncio.create_task(answered(memory, stream(*messages[:4]), wait=wait))
    other = asyncio.create_task(answered(memory, stream(*messages[4:])))
    for _ in range(20):
        await asyncio.sleep(0)
    assert memory.used == 60 and not other.done()
    wait.set()
    assert await task == ["a", "b"] and await other == ["c"]
    assert memory.used == 0


@pytest.mark.parametrize(
    "messages",
    [
        [header(60, "a"), Message(picture=bytes(30))],
        [header(60, "a"), Message(picture=bytes(90))],
        [header(60, "a"), header(60, "b"), Message(picture=bytes(60))],
        [header(5000, "a"), Message(picture=bytes(60))],
        [header(60, "a"), Message(picture=bytes(60)), header(30, "a")],
    ],
    ids=["truncated", "overlong", "unfinished", "refused", "twice"],
)
async def test_bad_items_give_back_what_they_held(messages: list[Message]) -> None:
    memory = MemoryBudget(100)
    await answered(memory, stream(*messages))
    assert memory.used == 0


async def test_a_stream_that_breaks_gives_back_what_its_items_held() -> None:
    memory = MemoryBudget(100)
    with pytest.raises(PanolinkError):
        await answered(memory, stream(header(60, "a"), Message(picture=bytes(30)), then=LinkError("broken")))
    assert memory.used == 0
    held = asyncio.Event()
    messages = (header(60, "a"), Message(picture=bytes(60)), header(40, "b"), Message(picture=bytes(30)))
    task = asyncio.create_task(answered(memory, stream(*messages, then=held), wait=held))
    for _ in range(20):
        await asyncio.sleep(0)
    assert memory.used == 90
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert memory.used == 0


async def test_an_item_that_comes_to_a_halt_is_given_up() -> None:
    memory = MemoryBudget(100)
    source = stream(header(60, "a"), Message(picture=bytes(30)), then=asyncio.Event())
    with pytest.raises(LinkError, match=r"the next piece of an item did not come within 0\.05 s"):
        async for _ in frames(source, admit, memory=memory, stall=0.05):
            pass
    assert memory.used == 0


@pytest.mark.slow
async def test_an_item_of_which_little_comes_at_a_time_is_given_up_too() -> None:
    memory = MemoryBudget(100)

    async def trickle() -> AsyncIterator[Message]:
        yield header(60, "a")
        while True:
            await asyncio.sleep(0.01)
            yield Message(picture=b"")

    with pytest.raises(LinkError, match="come too slowly"):
        async for _ in frames(trickle(), admit, memory=memory, stall=1, pace=1000):
            pass
    assert memory.used == 0


@pytest.mark.slow
async def test_a_large_item_has_more_time() -> None:
    async def slow() -> AsyncIterator[Message]:
        yield header(60, "a")
        for _ in range(6):
            await asyncio.sleep(0.1)
            yield Message(picture=bytes(10))

    (frame,) = [frame async for frame in frames(slow(), admit, stall=0.5, pace=1)]
    assert len(frame.parts["picture"]) == 60


async def test_between_items_a_stream_may_rest() -> None:
    rest = asyncio.Event()

    async def source() -> AsyncIterator[Message]:
        yield header(3, "a")
        yield Message(picture=b"abc")
        await rest.wait()
        yield header(0, "b")

    asyncio.get_running_loop().call_later(0.1, rest.set)
    got = [frame.header.burst_id async for frame in frames(source(), admit, stall=0.02)]
    assert got == ["a", "b"]


async def test_what_is_announced_and_does_not_come_holds_nothing() -> None:
    memory, quiet = MemoryBudget(1000), asyncio.Event()
    announced = [stream(header(1000, "a"), Message(picture=b"a"), then=quiet) for _ in range(4)]
    attacks = [asyncio.create_task(answered(memory, source)) for source in announced]
    for _ in range(20):
        await asyncio.sleep(0)
    assert memory.used == 4
    honest = answered(memory, stream(header(990, "honest"), Message(picture=bytes(990))))
    assert await asyncio.wait_for(honest, 1) == ["honest"]
    for task in attacks:
        task.cancel()
    await asyncio.gather(*attacks, return_exceptions=True)
    assert memory.used == 0


async def test_items_that_arrive_together_do_not_wait_for_one_another_for_ever() -> None:
    """Each has come half when nothing is left: one at a time may exceed the budget."""
    memory, chance = MemoryBudget(1000), random.Random(2)
    exceeded = 0

    async def source(name: str) -> AsyncIterator[Message]:
        nonlocal exceeded
        yield header(800, name)
        for _ in range(8):
            await asyncio.sleep(chance.random() / 1000)
            exceeded = max(exceeded, memory.used)
            yield Message(picture=bytes(100))

    tasks = [answered(memory, source(str(number))) for number in range(12)]
    got = await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert got == [[str(number)] for number in range(12)]
    assert 1000 < exceeded <= 1800 and memory.used == 0


async def test_much_at_once_does_not_buy_hours_for_the_rest() -> None:
    async def source() -> AsyncIterator[Message]:
        yield header(1000, "a")
        yield Message(picture=bytes(900))
        while True:
            await asyncio.sleep(0.02)
            yield Message(picture=b"b")

    began = asyncio.get_running_loop().time()
    with pytest.raises(LinkError, match="come too slowly"):
        async for _ in frames(source(), admit, stall=0.2, pace=1000):
            pass
    assert asyncio.get_running_loop().time() - began < 1


async def test_what_somebody_else_holds_is_not_free_yet() -> None:
    memory = MemoryBudget(10)
    reservation = await memory.reserve(6)
    let_go = reservation.held()
    reservation.release()
    reservation.release()
    assert memory.used == 6
    let_go()
    assert memory.used == 0


async def test_what_is_there_already_is_charged_and_others_wait() -> None:
    memory = MemoryBudget(10)
    charged = [memory.charge(8), memory.charge(8)]
    assert memory.used == 16
    waiting = asyncio.create_task(memory.reserve(1))
    await asyncio.sleep(0)
    charged[0].release()
    await asyncio.sleep(0)
    assert waiting.done() and memory.used == 9
    charged[1].release()
    (await waiting).release()
    assert memory.used == 0
