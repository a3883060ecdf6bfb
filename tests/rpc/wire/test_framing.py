import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from panolink.errors import BitstreamError, LimitError, LinkError
from panolink.rpc.wire.framing import Frame, chunks, frames
from panolink.v1 import receiver_pb2

Message = receiver_pb2.ReceivedPanorama


def header(size: int) -> Message:
    return Message(header=receiver_pb2.ReceivedPanoramaHeader(picture_bytes=size))


def chunk(data: bytes) -> Message:
    return Message(picture=data)


def admit(header: receiver_pb2.ReceivedPanoramaHeader) -> dict[str, int]:
    if header.picture_bytes > 100:
        raise LimitError("too many bytes")
    return {"picture": header.picture_bytes}


async def assembled(*messages: Message, **options: Any) -> list[Frame]:
    async def stream() -> AsyncIterator[Message]:
        for message in messages:
            yield message

    return [frame async for frame in frames(stream(), admit, **options)]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 17])
def test_chunks_add_up_at_every_size(size: int) -> None:
    data = bytes(range(size))
    pieces = list(chunks(data, 8))
    assert b"".join(pieces) == data
    assert all(len(piece) == 8 for piece in pieces[:-1])
    assert len(pieces) == -(-size // 8)


async def test_frames_put_items_together() -> None:
    first, empty, last = await assembled(
        header(3), chunk(b"ab"), chunk(b"c"), header(0), header(2), chunk(b""), chunk(b"de")
    )
    assert [bytes(frame.parts["picture"]) for frame in (first, empty, last)] == [b"abc", b"", b"de"]
    assert not (first.error or empty.error or last.error)


async def test_a_refused_item_is_skipped_and_the_stream_goes_on() -> None:
    refused, good = await assembled(header(101), chunk(b"a"), chunk(b"b"), header(1), chunk(b"c"))
    assert isinstance(refused.error, LimitError)
    assert bytes(good.parts["picture"]) == b"c"


async def test_a_truncated_item_says_what_is_missing() -> None:
    cut_by_next, good, cut_by_end = await assembled(
        header(3), chunk(b"a"), header(1), chunk(b"b"), header(4), chunk(b"cd")
    )
    assert str(cut_by_next.error) == "ended after 1 of 3 bytes of picture"
    assert bytes(good.parts["picture"]) == b"b"
    assert isinstance(cut_by_end.error, BitstreamError)


async def test_an_overlong_item_is_an_error_and_takes_no_memory() -> None:
    overlong, good = await assembled(header(3), chunk(b"abcd"), chunk(b"e"), header(1), chunk(b"f"))
    assert "announced 3 bytes" in str(overlong.error)
    assert not overlong.parts
    assert not good.error


async def test_a_chunk_without_a_header_ends_the_stream() -> None:
    with pytest.raises(BitstreamError, match="belongs to no header"):
        await assembled(chunk(b"a"))
    with pytest.raises(BitstreamError, match="empty message"):
        await assembled(Message())


async def test_stop_ends_the_stream_between_two_items_only() -> None:
    stop = asyncio.Event()
    seen = []

    async def stream() -> AsyncIterator[Message]:
        yield header(2)
        stop.set()
        yield chunk(b"ab")
        await asyncio.sleep(60)

    with pytest.raises(LinkError, match="shutting down"):
        async for frame in frames(stream(), admit, stop=stop):
            seen.append(bytes(frame.parts["picture"]))
    assert seen == [b"ab"]
