"""The way to the next hop, against a real Link server that is slow, forgetful or gone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from panolink.errors import ModelError
from panolink.rpc.bursts import Burst, Receipt, admit_burst, burst_messages, burst_of, failed_receipt, receipts
from panolink.rpc.chunking import frames
from panolink.rpc.connection import open_channel
from panolink.rpc.conversation import Conversation
from panolink.rpc.exchange import exchange
from panolink.rpc.limits import Limits, Streams
from panolink.rpc.link import LinkEndpoint
from panolink.v1 import link_pb2, link_pb2_grpc

ADD = link_pb2_grpc.add_LinkServicer_to_server
MakeBurst = Callable[..., Burst]


class StandIn:
    """A `BurstHandler` that delivers every burst after a while, and remembers how many it held at once."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.held = self.most = 0
        self.seen: list[str] = []

    def check(self, header: link_pb2.BurstHeader) -> None: ...

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        self.seen.append(burst.header.burst_id)
        self.held += 1
        self.most = max(self.most, self.held)
        return self._receipt(burst.header.burst_id)

    async def close(self) -> None: ...

    async def _receipt(self, burst_id: str) -> Receipt:
        await asyncio.sleep(self.seconds)
        self.held -= 1
        return Receipt(link_pb2.ReceiptHeader(burst_id=burst_id), b"picture" * 100_000)


def endpoint(handler: StandIn, *, in_flight: int = 4) -> LinkEndpoint:
    return LinkEndpoint(lambda: handler, limits=Limits(), streams=Streams("link", limit=4), in_flight=in_flight)


def conversation(channel: grpc.aio.Channel, *, timeout: float = 20.0) -> Conversation[Burst, Receipt]:
    stub: Any = link_pb2_grpc.LinkStub(channel)
    return Conversation(
        open_call=stub.Carry,
        messages=burst_messages,
        answers=lambda messages: receipts(messages, Limits()),
        failed=failed_receipt,
        peer="next hop",
        timeout=timeout,
    )


async def test_bursts_and_receipts_cross(serve: Any, burst: MakeBurst) -> None:
    handler = StandIn()
    async with open_channel(await serve(ADD, endpoint(handler))) as channel:
        talk = conversation(channel)
        pending = [await talk.send(str(n), burst(str(n), symbols=50_000)) for n in range(10)]
        got = await asyncio.gather(*pending)
        await talk.close()
    assert [receipt.header.burst_id for receipt in got] == handler.seen == [str(n) for n in range(10)]
    assert all(receipt.picture == b"picture" * 100_000 for receipt in got)


async def test_a_slow_hop_slows_the_sender(serve: Any, burst: MakeBurst) -> None:
    handler = StandIn(seconds=0.02)
    most = finished = started = 0

    async def endless() -> Any:
        nonlocal started, most
        for number in range(12):
            started += 1
            most = max(most, started - finished)
            yield burst(str(number), symbols=20_000)

    async with open_channel(await serve(ADD, endpoint(handler, in_flight=2))) as channel:
        talk = conversation(channel)
        sending = exchange(endless(), lambda b: talk.send(b.header.burst_id, b), in_flight=3)
        async for receipt in sending:
            assert not receipt.header.HasField("failure")
            finished += 1
        await talk.close()
    assert finished == 12
    assert most <= 3
    assert handler.most <= 2


async def test_bursts_under_way_fail_once_when_the_stream_breaks_and_the_next_try_again(
    serve: Any, burst: MakeBurst
) -> None:
    class Breaks(link_pb2_grpc.LinkServicer):
        """Answers the first of two bursts, then breaks the first stream."""

        streams = 0

        async def Carry(self, request_iterator: Any, context: Any) -> Any:
            self.streams += 1
            async for frame in frames(request_iterator, lambda header: admit_burst(header, Limits())):
                name = burst_of(frame).header.burst_id
                if name == "lost":
                    await context.abort(grpc.StatusCode.INTERNAL, "out of order")
                yield link_pb2.Receipt(header=link_pb2.ReceiptHeader(burst_id=name))

    servicer = Breaks()
    async with open_channel(await serve(ADD, servicer)) as channel:
        talk = conversation(channel)
        first = await (await talk.send("first", burst("first")))
        lost = await (await talk.send("lost", burst("lost")))
        again = await (await talk.send("again", burst("again")))
        await talk.close()
    assert not first.header.HasField("failure")
    assert lost.header.failure.message == "next hop: out of order"
    assert not again.header.HasField("failure")
    assert servicer.streams == 2


async def test_nobody_there(free_port: Callable[[], int], burst: MakeBurst) -> None:
    async with open_channel(f"127.0.0.1:{free_port()}") as channel:
        talk = conversation(channel)
        got = [await (await talk.send(str(n), burst(str(n)))) for n in range(2)]
        await talk.close()
    assert {receipt.header.failure.code for receipt in got} == {grpc.StatusCode.UNAVAILABLE.value[0]}


async def test_a_hop_that_never_answers_is_given_up(serve: Any, burst: MakeBurst) -> None:
    async with open_channel(await serve(ADD, endpoint(StandIn(seconds=30)))) as channel:
        talk = conversation(channel, timeout=0.05)
        receipt = await (await talk.send("1", burst()))
        await talk.close()
    assert receipt.header.failure.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


async def test_bad_bursts_fail_alone(serve: Any, burst: MakeBurst) -> None:
    async with open_channel(await serve(ADD, endpoint(StandIn()))) as channel:
        talk = conversation(channel)
        bad = burst("bad")
        bad.header.ClearField("sample_format")
        wrong, good = await asyncio.gather(await talk.send("bad", bad), await talk.send("good", burst("good")))
        await talk.close()
    assert wrong.header.failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert wrong.header.failure.message.startswith("burst bad: sample format 0")
    assert not good.header.HasField("failure")


async def test_a_burst_refused_by_its_header_is_not_sent_to_its_end(serve: Any, burst: MakeBurst) -> None:
    class Picky(StandIn):
        def check(self, header: link_pb2.BurstHeader) -> None:
            if header.burst_id == "foreign":
                raise ModelError("made with model 1, this receiver holds 2")

    handler = Picky()
    async with open_channel(await serve(ADD, endpoint(handler))) as channel:
        talk = conversation(channel)
        foreign = await (await talk.send("foreign", burst("foreign", symbols=2_000_000)))
        good = await (await talk.send("good", burst("good", symbols=200_000)))
        await talk.close()
    assert foreign.header.failure.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert not good.header.HasField("failure")
    assert handler.seen == ["good"]


async def test_an_id_under_way_twice_ends_the_stream(serve: Any, burst: MakeBurst) -> None:
    handler = StandIn(seconds=0.05)
    async with open_channel(await serve(ADD, endpoint(handler))) as channel:
        stub: Any = link_pb2_grpc.LinkStub(channel)
        call = stub.Carry()
        for message in [*burst_messages(burst("1")), *burst_messages(burst("1"))]:
            await call.write(message)
        got = [message async for message in _until_error(call)]
        assert sum(message.HasField("header") for message in got) == 1
        assert "already under way" in await call.details()


async def _until_error(call: Any) -> Any:
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError:
        return
