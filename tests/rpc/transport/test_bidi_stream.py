"""One stream of items and answers, at a real server whose answers the test writes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio
import pytest

from panolink.errors import LimitError
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.transport.bidi_stream import BidiStream, Unanswered
from panolink.rpc.wire.bursts import Burst, Receipt, admit_burst, burst_messages, failed_receipt, receipts
from panolink.rpc.wire.framing import frames
from panolink.rpc.wire.pushback import Pushback, pushback_to_wire
from panolink.v1 import link_pb2, link_pb2_grpc

MakeBurst = Callable[..., Burst]


class Scripted(link_pb2_grpc.LinkServicer):
    """Receives so many bursts, then sends what is scripted: ids to answer, or a status to end with."""

    def __init__(self) -> None:
        self.wait_for, self.script = 1, list[Any]()
        self.refusal: LimitError | None = None

    async def Carry(self, request_iterator: Any, context: Any) -> AsyncIterator[link_pb2.Receipt]:
        if self.refusal:
            await context.send_initial_metadata(pushback_to_wire(self.refusal))
        received = frames(request_iterator, lambda header: admit_burst(header, Limits()))
        for _ in range(self.wait_for):
            await anext(received)
        for step in self.script:
            if isinstance(step, grpc.StatusCode):
                await context.abort(step, "as scripted")
            yield link_pb2.Receipt(header=link_pb2.ReceiptHeader(burst_id=step))
        async for _ in received:
            pass


class Opened:
    """A stream, and how often it has broken."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float) -> None:
        self.breaks = 0
        self.refusals: list[Pushback] = []
        stub: Any = link_pb2_grpc.LinkStub(channel)
        self.stream: BidiStream[Burst, Receipt] = BidiStream(
            stub.Carry(),
            messages=burst_messages,
            answers=lambda messages: receipts(messages, Limits()),
            failed=failed_receipt,
            peer="next hop here",
            timeout=timeout,
            on_break=self.broke,
            on_refusal=self.refusals.append,
        )

    def broke(self) -> None:
        self.breaks += 1


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
async def opened(serve: Any, scripted: Scripted) -> AsyncIterator[Callable[..., Awaitable[Opened]]]:
    address = await serve(link_pb2_grpc.add_LinkServicer_to_server, scripted)
    async with grpc.aio.insecure_channel(address) as channel:
        made: list[Opened] = []

        async def open_one(timeout: float = 10.0) -> Opened:
            made.append(Opened(channel, timeout))
            return made[-1]

        yield open_one
        for one in made:
            await one.stream.close()


async def sent(one: Opened, burst: MakeBurst, *names: str) -> list[Any]:
    """What became of bursts: receipts, or the exceptions instead."""
    pending = [await one.stream.send(name, burst(name)) for name in names]
    return await asyncio.gather(*pending, return_exceptions=True)


async def test_answers_find_their_items_in_any_order(scripted: Scripted, opened: Any, burst: MakeBurst) -> None:
    scripted.wait_for, scripted.script = 3, ["c", "a", "b"]
    one = await opened()
    got = await sent(one, burst, "a", "b", "c")
    assert [receipt.header.burst_id for receipt in got] == ["a", "b", "c"]
    assert not len(one.stream) and not one.stream.ended and not one.breaks


async def test_an_answer_that_nobody_waits_for_is_ignored(
    scripted: Scripted, opened: Any, burst: MakeBurst, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.script = ["unheard-of", "a"]
    (receipt,) = await sent(await opened(), burst, "a")
    assert receipt.header.burst_id == "a"
    assert "an answer for 'unheard-of', which is not under way" in caplog.text


async def test_where_the_peer_goes_away_items_may_be_sent_again(
    scripted: Scripted, opened: Any, burst: MakeBurst
) -> None:
    scripted.wait_for, scripted.script = 2, ["a", grpc.StatusCode.UNAVAILABLE]
    one = await opened()
    answered, lost = await sent(one, burst, "a", "b")
    assert answered.header.burst_id == "a"
    assert isinstance(lost, Unanswered) and lost.sent
    assert lost.failure.message == "next hop here: as scripted"
    assert one.stream.ended and one.breaks == 1
    with pytest.raises(Unanswered, match="next hop here is gone") as late:
        await one.stream.send("c", burst("c"))
    assert not late.value.sent


async def test_any_other_status_is_the_answer_of_all(scripted: Scripted, opened: Any, burst: MakeBurst) -> None:
    scripted.wait_for, scripted.script = 2, [grpc.StatusCode.PERMISSION_DENIED]
    got = await sent(await opened(), burst, "a", "b")
    assert [receipt.header.failure.code for receipt in got] == [grpc.StatusCode.PERMISSION_DENIED.value[0]] * 2


async def test_where_there_is_no_room_items_may_be_sent_later(
    scripted: Scripted, opened: Any, burst: MakeBurst
) -> None:
    scripted.refusal = LimitError("all streams are in use")
    one = await opened()
    pending = await one.stream.send("a", burst("a", symbols=1_000_000))  # refused while it is written
    (lost,) = await asyncio.gather(pending, return_exceptions=True)
    assert isinstance(lost, Unanswered) and not lost.sent
    assert lost.failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert lost.failure.message == "next hop here: all streams are in use"
    assert one.stream.ended and not one.breaks and one.refusals == [Pushback(1.0, "all streams are in use")]


async def test_an_answer_has_its_time(scripted: Scripted, opened: Any, burst: MakeBurst) -> None:
    scripted.script = []
    one = await opened(timeout=0.05)
    (receipt,) = await sent(one, burst, "a")
    assert receipt.header.failure.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert "no answer within 0.05 s" in receipt.header.failure.message
    assert not one.stream.ended, "others are not to blame"


async def test_closed_its_items_are_answered(scripted: Scripted, opened: Any, burst: MakeBurst) -> None:
    one = await opened()
    pending = await one.stream.send("a", burst("a"))
    await one.stream.close()
    receipt = await asyncio.wait_for(pending, 5)
    assert receipt.header.failure.code == grpc.StatusCode.CANCELLED.value[0]
    assert one.stream.ended


async def test_where_its_channel_is_closed_items_may_be_sent_again(
    scripted: Scripted, serve: Any, burst: MakeBurst
) -> None:
    """As an hour after certificates have changed: nobody has given the items up."""
    address = await serve(link_pb2_grpc.add_LinkServicer_to_server, scripted)
    channel = grpc.aio.insecure_channel(address)
    one = Opened(channel, 10.0)
    pending = await one.stream.send("a", burst("a"))
    await channel.close(0)
    with pytest.raises(Unanswered, match="the connection was replaced"):
        await asyncio.wait_for(pending, 5)
    await one.stream.close()


class RefusedWhileWriting:
    """A call in which a refusal comes while a message is being written, at the one moment at which gRPC tells the
    writer that its call was cancelled: a server cannot be made to hit it."""

    def __init__(self) -> None:
        self.writing, self.cancelled = asyncio.Event(), asyncio.Event()

    async def initial_metadata(self) -> Any:
        await self.writing.wait()
        return pushback_to_wire(LimitError("no room"))

    async def write(self, _: Any) -> None:
        self.writing.set()
        await self.cancelled.wait()
        raise asyncio.CancelledError

    def cancel(self) -> None:
        self.cancelled.set()


def stream_of(call: Any, refusals: list[Pushback]) -> BidiStream[Burst, Receipt]:
    return BidiStream(
        call,
        messages=burst_messages,
        answers=lambda messages: receipts(messages, Limits()),
        failed=failed_receipt,
        peer="next hop here",
        timeout=10,
        on_break=lambda: None,
        on_refusal=refusals.append,
    )


async def test_a_refusal_while_an_item_is_written_cancels_nobody(burst: MakeBurst) -> None:
    refusals: list[Pushback] = []
    stream = stream_of(RefusedWhileWriting(), refusals)
    pending = await asyncio.wait_for(stream.send("a", burst("a")), 20)
    with pytest.raises(Unanswered, match="no room"):
        await asyncio.wait_for(pending, 20)
    assert len(refusals) == 1 and stream.ended


class NeverTaken:
    """A call that takes nothing of what is written to it, and answers nothing; a task that is cancelled while it writes
    takes the call with it, as gRPC has it."""

    def __init__(self) -> None:
        self.writing, self.cancelled = asyncio.Event(), asyncio.Event()

    async def initial_metadata(self) -> Any:
        await self.cancelled.wait()
        raise asyncio.CancelledError

    async def write(self, _: Any) -> None:
        self.writing.set()
        try:
            await self.cancelled.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise

    def cancel(self) -> None:
        self.cancelled.set()


async def test_a_task_that_is_cancelled_while_it_writes_ends_at_once(burst: MakeBurst) -> None:
    call = NeverTaken()
    stream = stream_of(call, [])
    writer = asyncio.create_task(stream.send("a", burst("a")))
    await asyncio.wait_for(call.writing.wait(), 20)
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(writer, 20)
    assert writer.cancelled() and not len(stream)
    await asyncio.wait_for(stream.close(), 20)
    assert stream.ended


class NeverDone:
    """A call whose end the peer does not take: `done_writing` waits, or ends as a call that is cancelled itself."""

    def __init__(self, *, cancelled: bool) -> None:
        self.closing, self.cancelled = asyncio.Event(), asyncio.Event()
        self._itself_cancelled = cancelled

    async def initial_metadata(self) -> Any:
        await self.cancelled.wait()
        raise asyncio.CancelledError

    async def done_writing(self) -> None:
        self.closing.set()
        if self._itself_cancelled:
            self.cancel()
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    def cancel(self) -> None:
        self.cancelled.set()


async def test_a_task_that_is_cancelled_while_it_closes_is_cancelled() -> None:
    call = NeverDone(cancelled=False)
    stream = stream_of(call, [])
    closing = asyncio.create_task(stream.close())
    await asyncio.wait_for(call.closing.wait(), 20)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(closing, 20)
    assert call.cancelled.is_set(), "the call is ended all the same"


async def test_a_call_that_is_cancelled_while_it_is_closed_cancels_nobody() -> None:
    stream = stream_of(NeverDone(cancelled=True), [])
    await asyncio.wait_for(stream.close(), 20)
    assert stream.ended
