"""The way to the next hop, against a real Link server that is slow, forgetful or gone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import grpc.aio
import pytest

from panolink.errors import ModelError
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.flow_control.streams import Streams
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.transport.carry import LinkEndpoint, link_client
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.transport.stream_handler import map_concurrent
from panolink.rpc.wire.bursts import Burst, Receipt, admit_burst, burst_from_frame, burst_messages
from panolink.rpc.wire.framing import frames
from panolink.rpc.wire.pushback import PUSHBACK_KEY
from panolink.rpc.wire.status import failure
from panolink.v1 import link_pb2, link_pb2_grpc
from tests.rpc.helpers import connected_client

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


async def test_bursts_and_receipts_cross(serve: Any, burst: MakeBurst) -> None:
    handler = StandIn()
    async with connected_client(await serve(ADD, endpoint(handler))) as client:
        pending = [await client.send(str(n), burst(str(n), symbols=50_000)) for n in range(10)]
        got = await asyncio.gather(*pending)
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

    async with connected_client(await serve(ADD, endpoint(handler, in_flight=2))) as client:
        sending = map_concurrent(endless(), lambda b: client.send(b.header.burst_id, b), in_flight=3)
        async for receipt in sending:
            assert not receipt.header.HasField("failure")
            finished += 1
    assert finished == 12
    assert most <= 3
    assert handler.most <= 2


class Breaks(link_pb2_grpc.LinkServicer):
    """Answers every burst, but the first few called `lost`: with those it ends the stream."""

    def __init__(self, *statuses: grpc.StatusCode) -> None:
        self.statuses = list(statuses)
        self.streams = 0
        self.seen: list[str] = []

    async def Carry(self, request_iterator: Any, context: Any) -> Any:
        self.streams += 1
        async for frame in frames(request_iterator, lambda header: admit_burst(header, Limits())):
            name = burst_from_frame(frame).header.burst_id
            self.seen.append(name)
            if name == "lost" and self.statuses:
                await context.abort(self.statuses.pop(0), "out of order")
            yield link_pb2.Receipt(header=link_pb2.ReceiptHeader(burst_id=name))


async def test_bursts_under_way_fail_once_when_the_stream_is_ended_and_the_next_try_again(
    serve: Any, burst: MakeBurst
) -> None:
    servicer = Breaks(grpc.StatusCode.INTERNAL)
    address = await serve(ADD, servicer)
    async with connected_client(address) as client:
        first = await (await client.send("first", burst("first")))
        lost = await (await client.send("lost", burst("lost")))
        again = await (await client.send("again", burst("again")))
    assert not first.header.HasField("failure")
    assert lost.header.failure.message == f"next hop {address}: out of order"
    assert not again.header.HasField("failure")
    assert servicer.streams == 2


async def test_bursts_under_way_are_sent_again_when_the_hop_goes_away(serve: Any, burst: MakeBurst) -> None:
    servicer = Breaks(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE)
    async with connected_client(await serve(ADD, servicer), reconnect_timeout=60) as client:
        pending = [await client.send(name, burst(name)) for name in ("lost", "next")]
        lost, following = await asyncio.gather(*pending)
    assert not lost.header.HasField("failure")
    assert not following.header.HasField("failure")
    assert servicer.seen.count("lost") == 3
    assert servicer.streams == 3


@pytest.mark.slow
async def test_a_burst_that_is_refused_without_end_is_given_up(serve: Any, burst: MakeBurst) -> None:
    servicer = Breaks(*[grpc.StatusCode.UNAVAILABLE] * 1000)
    async with connected_client(await serve(ADD, servicer), reconnect_timeout=60, timeout=0.3) as client:
        lost = await (await client.send("lost", burst("lost")))
        good = await (await client.send("good", burst("good")))
    assert lost.header.failure.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert "out of order" in lost.header.failure.message
    assert not good.header.HasField("failure")


@pytest.mark.slow
async def test_a_burst_that_every_hop_dies_of_is_given_up(free_port: Callable[[], int], burst: MakeBurst) -> None:
    port, deaths, servers = free_port(), [], []

    async def start() -> None:
        server: Any = grpc.aio.server()
        ADD(endpoint(Dies()), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        servers.append(server)

    class Dies(StandIn):
        async def accept(self, burst: Burst) -> Awaitable[Receipt]:
            if burst.header.burst_id == "poison":
                deaths.append(asyncio.create_task(self.die()))
                await asyncio.Event().wait()
            return await super().accept(burst)

        async def die(self) -> None:
            await servers.pop().stop(None)
            await start()

    await start()
    async with connected_client(f"127.0.0.1:{port}", reconnect_timeout=60) as client:
        lost = await (await client.send("poison", burst("poison")))
        good = await (await client.send("good", burst("good")))
    assert lost.header.failure.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert "3 connections broke" in lost.header.failure.message
    assert len(deaths) == 3
    assert not good.header.HasField("failure")
    await asyncio.gather(*deaths)
    await servers.pop().stop(None)


@pytest.mark.slow
async def test_bursts_wait_for_a_hop_that_is_away_and_no_longer_than_patience_lasts(
    serve: Any, free_port: Callable[[], int], burst: MakeBurst
) -> None:
    port = free_port()
    handler = StandIn()
    async with connected_client(f"127.0.0.1:{port}", reconnect_timeout=60) as client:
        waiting = asyncio.create_task(client.send("1", burst("1")))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await serve(ADD, endpoint(handler), port=port)
        assert not (await (await waiting)).header.HasField("failure")
    async with connected_client(f"127.0.0.1:{free_port()}", reconnect_timeout=0.2) as client:
        started = time.monotonic()
        first = await (await client.send("1", burst("1")))
        assert time.monotonic() - started >= 0.2
        assert first.header.failure.code == grpc.StatusCode.UNAVAILABLE.value[0]


async def test_bursts_go_round_the_replicas_and_leave_those_that_are_away(serve: Any, burst: MakeBurst) -> None:
    handlers = [StandIn() for _ in range(3)]
    addresses = [await serve(ADD, endpoint(handler)) for handler in handlers]
    away = "127.0.0.1:1"
    async with connected_client(",".join([*addresses, away])) as client:
        pending = [await client.send(f"s-{n}", burst(f"s-{n}")) for n in range(24)]
        got = await asyncio.gather(*pending)
    assert not any(receipt.header.HasField("failure") for receipt in got)
    # Six each are theirs, and the six of the one that is away are spread over them.
    assert [len(handler.seen) for handler in handlers] == [8, 8, 8]
    assert sorted(name for handler in handlers for name in handler.seen) == sorted(f"s-{n}" for n in range(24))


async def test_addresses_of_a_name_may_change(serve: Any, burst: MakeBurst, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panolink.rpc.transport.load_balancer.RESOLVE_SECONDS", 0.0)
    old, new = StandIn(), StandIn()
    found = [await serve(ADD, endpoint(old))]

    async def resolve(name: str) -> list[str]:
        assert name == "receiver:50053"
        if not found:
            raise OSError("the name server is away")
        return list(found)

    async with connected_client("dns:///receiver:50053", reconnect_timeout=5, resolve=resolve) as client:
        for number in range(4):
            assert not (await (await client.send(f"s-{number}", burst(f"s-{number}")))).header.HasField("failure")
        assert len(old.seen) == 4
        found[:] = [await serve(ADD, endpoint(new))]
        for number in range(4, 12):
            assert not (await (await client.send(f"s-{number}", burst(f"s-{number}")))).header.HasField("failure")
        assert len(new.seen) >= 6  # an answer of the name server is awaited by nobody, so it comes a little late
        found.clear()
        assert not (await (await client.send("s-12", burst("s-12")))).header.HasField("failure")
        assert new.seen[-1] == "s-12"


async def test_nobody_there(free_port: Callable[[], int], burst: MakeBurst) -> None:
    async with connected_client(f"127.0.0.1:{free_port()}") as client:
        got = [await (await client.send(str(n), burst(str(n)))) for n in range(2)]
    assert {receipt.header.failure.code for receipt in got} == {grpc.StatusCode.UNAVAILABLE.value[0]}


@pytest.mark.slow
async def test_a_hop_that_never_answers_is_given_up(serve: Any, burst: MakeBurst) -> None:
    async with connected_client(await serve(ADD, endpoint(StandIn(seconds=30))), timeout=0.05) as client:
        receipt = await (await client.send("1", burst()))
    assert receipt.header.failure.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


async def test_bad_bursts_fail_alone(serve: Any, burst: MakeBurst) -> None:
    async with connected_client(await serve(ADD, endpoint(StandIn()))) as client:
        bad = burst("bad")
        bad.header.ClearField("sample_format")
        wrong, good = await asyncio.gather(await client.send("bad", bad), await client.send("good", burst("good")))
    assert wrong.header.failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert wrong.header.failure.message.startswith("burst bad: sample format 0")
    assert not good.header.HasField("failure")


async def test_a_burst_refused_by_its_header_is_not_sent_to_its_end(serve: Any, burst: MakeBurst) -> None:
    class Picky(StandIn):
        def check(self, header: link_pb2.BurstHeader) -> None:
            if header.burst_id == "foreign":
                raise ModelError("made with model 1, this receiver holds 2")

    handler = Picky()
    async with connected_client(await serve(ADD, endpoint(handler))) as client:
        foreign = await (await client.send("foreign", burst("foreign", symbols=2_000_000)))
        good = await (await client.send("good", burst("good", symbols=200_000)))
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


class Full(link_pb2_grpc.LinkServicer):
    """Has no room for as many streams as there are hints, and says after how many milliseconds to try again."""

    def __init__(self, *hints: str) -> None:
        self.hints = list(hints)
        self.opened: list[float] = []
        self.seen: list[str] = []

    async def Carry(self, request_iterator: Any, context: Any) -> Any:
        self.opened.append(time.monotonic())
        refused = bool(self.hints)
        if refused:
            await context.send_initial_metadata(((PUSHBACK_KEY, self.hints.pop(0)),))
        async for frame in frames(request_iterator, lambda header: admit_burst(header, Limits())):
            receipt = link_pb2.ReceiptHeader(burst_id=frame.header.burst_id)
            if refused:
                receipt.failure.CopyFrom(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full"))
                yield link_pb2.Receipt(header=receipt)
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
            self.seen.append(receipt.burst_id)
            yield link_pb2.Receipt(header=receipt)


@pytest.mark.parametrize("symbols", [100, 1_000_000])
async def test_who_is_told_when_there_is_room_comes_back_then(serve: Any, burst: MakeBurst, symbols: int) -> None:
    full = Full("200", "200")
    async with connected_client(await serve(ADD, full), reconnect_timeout=60) as client:
        pending = await asyncio.gather(*(client.send(name, burst(name, symbols=symbols)) for name in "abc"))
        receipts = await asyncio.gather(*pending)
    assert not any(receipt.header.HasField("failure") for receipt in receipts)
    assert sorted(full.seen) == ["a", "b", "c"], "each once"
    first, second, third = full.opened
    assert second - first >= 0.2 and third - second >= 0.2


async def test_other_replicas_are_tried_while_one_has_no_room(serve: Any, burst: MakeBurst) -> None:
    full, free = Full("60000"), Full()
    addresses = ",".join([await serve(ADD, full), await serve(ADD, free)])
    async with connected_client(addresses, reconnect_timeout=60) as client:
        pending = [await client.send(f"s-{n}", burst(f"s-{n}")) for n in range(6)]
        receipts = await asyncio.wait_for(asyncio.gather(*pending), 20)
    assert not any(receipt.header.HasField("failure") for receipt in receipts)
    assert len(full.opened) == 1 and len(free.seen) == 6


@pytest.mark.parametrize(("hint", "reconnect_timeout"), [("60000", 0.0), ("60000", 0.3), ("-1", 60.0), ("soon", 60.0)])
async def test_a_refusal_is_told_where_there_is_no_time_or_nothing_to_wait_for(
    serve: Any, burst: MakeBurst, hint: str, reconnect_timeout: float
) -> None:
    async with connected_client(await serve(ADD, Full(hint)), reconnect_timeout=reconnect_timeout) as client:
        receipt = await asyncio.wait_for(await client.send("a", burst("a")), 20)
    assert receipt.header.failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]


async def test_who_is_refused_without_a_pause_makes_one(serve: Any, burst: MakeBurst) -> None:
    """A hostile service would have the same item sent hundreds of times a second."""
    full = Full(*["0"] * 1000)
    async with connected_client(await serve(ADD, full), reconnect_timeout=1.5) as client:
        receipt = await asyncio.wait_for(await client.send("a", burst("a")), 60)
    assert receipt.header.failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert 2 <= len(full.opened) <= 8
    pauses = [later - earlier for earlier, later in pairwise(full.opened)]
    assert min(pauses) >= 0.1 and max(pauses[2:], default=1) >= 0.4


STUCK = 1 << 22
"""Symbols of a burst that no window holds: gRPC's grow to 16 MiB where answers take long, as on a busy machine."""


class Deaf(link_pb2_grpc.LinkServicer):
    """Takes the stream and the first burst's header, and nothing more; its connection lives."""

    async def Carry(self, request_iterator: Any, context: Any) -> Any:
        await anext(aiter(request_iterator))
        await asyncio.sleep(60)
        yield link_pb2.Receipt()


async def test_a_hop_that_takes_nothing_is_not_waited_for_without_end(serve: Any, burst: MakeBurst) -> None:
    async with connected_client(await serve(ADD, Deaf()), timeout=0.5) as client:
        pending = await asyncio.wait_for(client.send("large", burst("large", symbols=STUCK)), 20)
        receipt = await asyncio.wait_for(pending, 20)
    assert receipt.header.failure.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert "took nothing of what it is sent, and answered nothing, for 0.5 s" in receipt.header.failure.message


class Busy(link_pb2_grpc.LinkServicer):
    """Reads nothing for a while but the first header, and answers others meanwhile."""

    async def Carry(self, request_iterator: Any, context: Any) -> Any:
        source = aiter(request_iterator)
        name = (await anext(source)).header.burst_id
        for number in range(45):
            yield link_pb2.Receipt(header=link_pb2.ReceiptHeader(burst_id=f"other {number}"))
            await asyncio.sleep(0.1)
        async for _ in source:
            pass
        yield link_pb2.Receipt(header=link_pb2.ReceiptHeader(burst_id=name))


@pytest.mark.slow
async def test_a_hop_that_answers_meanwhile_may_take_its_time(serve: Any, burst: MakeBurst) -> None:
    """It reads no more while it is full: that is not standing still."""
    async with connected_client(await serve(ADD, Busy()), timeout=4) as client:
        began = time.monotonic()
        pending = await client.send("large", burst("large", symbols=STUCK))  # returns once it is taken
        assert time.monotonic() - began > 4.2
        assert "no answer within" in (await pending).header.failure.message


async def test_whoever_gives_up_a_burst_that_is_stuck_is_let_go(serve: Any, burst: MakeBurst) -> None:
    async with connected_client(await serve(ADD, Deaf()), timeout=60) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.send("large", burst("large", symbols=STUCK)), 0.5)


async def _until_error(call: Any) -> Any:
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError:
        return


async def test_a_session_that_finds_no_room_does_not_stop_those_that_have_it(serve: Any, burst: MakeBurst) -> None:
    link = LinkEndpoint(StandIn, limits=Limits(), streams=Streams("link", limit=1), in_flight=4)
    next_hop = Replicas(await serve(ADD, link), reconnect_timeout=60)
    first, second = (link_client(next_hop, timeout=20, limits=Limits(), metrics=ServiceMetrics()) for _ in range(2))
    assert not (await (await first.send("a-0", burst("a-0")))).header.HasField("failure")
    refused = asyncio.create_task(_sent(second, burst("b-0")))
    (replica,) = next_hop._replicas.values()
    async with asyncio.timeout(10):
        while not replica.backing_off:
            await asyncio.sleep(0.01)
        start = time.monotonic()
        for number in range(1, 4):
            await _sent(first, burst(f"a-{number}"))
    assert time.monotonic() - start < 0.7, "it is to come back after a second, the other is not"
    refused.cancel()
    await first.close()
    await second.close()
    await next_hop.close()


async def _sent(client: Any, burst: Burst) -> Receipt:
    return await (await client.send(burst.header.burst_id, burst))
