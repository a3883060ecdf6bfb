import asyncio

import pytest

from panolink.rpc.wire.bursts import Receipt
from panolink.services.receiver.receipt_cache import ReceiptCache
from panolink.v1 import link_pb2


async def receive(burst_id: str, picture: bytes = b"") -> Receipt:
    await asyncio.sleep(0)
    return Receipt(link_pb2.ReceiptHeader(burst_id=burst_id), picture)


async def test_a_burst_that_comes_again_has_the_same_receipt() -> None:
    recent = ReceiptCache()
    first = recent.begin("1", receive("1", b"picture"))
    assert "1" in recent
    again = recent.receipt("1")
    assert await first is await again is await recent.receipt("1")


async def test_a_burst_is_received_to_its_end_though_its_hop_has_gone() -> None:
    recent, go_on = ReceiptCache(), asyncio.Event()

    async def slow() -> Receipt:
        await go_on.wait()
        return await receive("1")

    waiting = asyncio.ensure_future(recent.begin("1", slow()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert (await recent.receipt("1")).header.burst_id == "1"


async def test_what_is_remembered_is_bounded() -> None:
    recent = ReceiptCache(receipts=3, picture_bytes=10)
    for number in range(5):
        await recent.begin(str(number), receive(str(number), b"1234"))
        await asyncio.sleep(0)
    assert [number for number in range(5) if str(number) in recent] == [2, 3, 4]
    assert [(await recent.receipt(str(number))).picture for number in (2, 3, 4)] == [b"", b"1234", b"1234"]
    await recent.begin("large", receive("large", b"more than ten bytes"))
    await asyncio.sleep(0)
    assert (await recent.receipt("large")).picture == b""
    assert (await recent.receipt("4")).picture == b""


async def test_a_receipt_that_is_asked_for_comes_though_it_is_forgotten_meanwhile() -> None:
    recent = ReceiptCache(receipts=1)
    await recent.begin("1", receive("1"))
    await asyncio.sleep(0)
    again = recent.receipt("1")
    await recent.begin("2", receive("2"))
    await asyncio.sleep(0)
    assert "1" not in recent
    assert (await again).header.burst_id == "1"


async def test_a_known_burst_is_told_from_another_of_its_id_while_it_is_known() -> None:
    recent = ReceiptCache(receipts=1)
    receipt = recent.begin("1", receive("1"), digest=b"a picture")
    assert recent.digest("1") == b"a picture"
    await receipt
    await asyncio.sleep(0)
    assert recent.digest("1") == b"a picture"
    await recent.begin("2", receive("2"), digest=b"another")
    await asyncio.sleep(0)
    assert recent.digest("2") == b"another"
    with pytest.raises(KeyError):
        recent.digest("1")


async def test_a_fault_is_not_remembered() -> None:
    recent = ReceiptCache()

    async def fault() -> Receipt:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await recent.begin("1", fault())
    await asyncio.sleep(0)
    assert "1" not in recent
