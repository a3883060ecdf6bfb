"""Both sides of a hop: each burst has exactly one receipt, and what a handler does is what the sender learns."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from panolink.errors import ModelError
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.flow_control.streams import Streams
from panolink.rpc.transport.carry import LinkEndpoint
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.v1 import link_pb2, link_pb2_grpc
from tests.rpc.helpers import connected_client

MakeBurst = Callable[..., Burst]


class Handler:
    """Delivers bursts, but those whose name says what is wrong with them."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.closed = False

    def check(self, header: link_pb2.BurstHeader) -> None:
        if header.burst_id == "stranger":
            raise ModelError("made with a model that is not here")

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        name = burst.header.burst_id
        self.accepted.append(name)
        if name == "bug":
            raise RuntimeError("of no interest to a peer")
        return self._receipt(name, burst)

    async def _receipt(self, name: str, burst: Burst) -> Receipt:
        await asyncio.sleep(0.02 if name == "slow" else 0)
        return Receipt(link_pb2.ReceiptHeader(burst_id=name), bytes(burst.symbols[:1].tobytes()))

    async def close(self) -> None:
        self.closed = True


async def carried(
    serve: Any, burst: MakeBurst, *names: str, limits: Limits | None = None, **streams: Any
) -> tuple[Handler, list[Receipt]]:
    handler = Handler()
    endpoint = LinkEndpoint(
        lambda: handler, limits=limits or Limits(), streams=Streams("link", **({"limit": 4} | streams)), in_flight=4
    )
    async with connected_client(await serve(link_pb2_grpc.add_LinkServicer_to_server, endpoint)) as client:
        pending = [await client.send(name, burst(name)) for name in names]
        got = await asyncio.gather(*pending)
    async with asyncio.timeout(5):
        while not handler.closed:
            await asyncio.sleep(0.01)
    return handler, got


async def test_each_burst_has_its_receipt_with_its_content(serve: Any, burst: MakeBurst) -> None:
    handler, got = await carried(serve, burst, "slow", "b", "c")
    assert handler.accepted == [receipt.header.burst_id for receipt in got] == ["slow", "b", "c"]
    assert all(receipt.picture == burst().symbols[:1].tobytes() for receipt in got)


async def test_a_burst_that_is_refused_fails_alone_and_is_not_read(serve: Any, burst: MakeBurst) -> None:
    handler, got = await carried(serve, burst, "a", "stranger", "b")
    assert handler.accepted == ["a", "b"]
    assert [receipt.header.HasField("failure") for receipt in got] == [False, True, False]
    refused = got[1].header.failure
    assert refused.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert "made with a model that is not here" in refused.message


async def test_a_bug_is_a_failure_without_its_text(
    serve: Any, burst: MakeBurst, caplog: pytest.LogCaptureFixture
) -> None:
    _, (failed, fine) = await carried(serve, burst, "bug", "b")
    assert failed.header.failure.code == grpc.StatusCode.INTERNAL.value[0]
    assert "of no interest" not in failed.header.failure.message and "of no interest" in caplog.text
    assert not fine.header.HasField("failure")


async def test_more_symbols_than_allowed_are_refused_before_they_are_taken(serve: Any, burst: MakeBurst) -> None:
    handler, (refused,) = await carried(serve, burst, "large", limits=Limits(symbols=999))
    assert not handler.accepted
    assert refused.header.failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert "1000, at most 999 are allowed" in refused.header.failure.message
