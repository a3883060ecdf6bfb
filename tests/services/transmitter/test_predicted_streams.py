import asyncio

import numpy as np
import pytest

from panolink.codec.codec import Codec
from panolink.services.transmitter.predicted_streams import (
    MOST_STREAMS,
    MOST_UNDER_WAY,
    PredictedStream,
    PredictedStreams,
)
from panolink.v1 import link_pb2


def test_streams_are_their_senders_own(tiny: Codec):
    streams = PredictedStreams(1 << 20)
    one = streams.get("me", "camera", tiny)
    assert streams.get("me", "camera", tiny) is one
    assert streams.get("you", "camera", tiny).link_id != one.link_id
    for number in range(MOST_STREAMS):
        streams.get("me", str(number), tiny)
    assert len(streams) == MOST_STREAMS and streams.get("me", "camera", tiny) is not one
    assert streams.bytes == 0


async def test_one_whole_picture_is_under_way_at_a_time(tiny: Codec, panorama: np.ndarray):
    stream, entered = PredictedStream(tiny), []

    async def picture(number: int) -> None:
        async with stream.turn():
            entered.append(number)
            stream.encoder.encode(panorama, bpp=0.5)

    tasks = [asyncio.create_task(picture(number)) for number in range(1, 7)]
    await asyncio.sleep(0.2)
    assert entered == [1]
    await stream.answered(1, (), link_pb2.ReceiptHeader())
    await asyncio.sleep(0.5)
    assert entered == [1, 2, 3, 4][: 1 + MOST_UNDER_WAY]
    for number in range(2, 7):
        await stream.answered(number, (), link_pb2.ReceiptHeader())
        await asyncio.sleep(0.1)
    await asyncio.gather(*tasks)
    assert entered == list(range(1, 7))


async def test_a_picture_that_fails_leaves_its_place(tiny: Codec):
    stream = PredictedStream(tiny)
    for _ in range(4):
        with pytest.raises(RuntimeError):
            async with stream.turn():
                raise RuntimeError


@pytest.mark.parametrize(
    ("receipt", "reference"),
    [
        (link_pb2.ReceiptHeader(), 1),
        (link_pb2.ReceiptHeader(one_way=True), None),
        (link_pb2.ReceiptHeader(failure=link_pb2.Failure(code=15)), None),
        (link_pb2.ReceiptHeader(reference_needed=True, failure=link_pb2.Failure(code=9)), None),
        (link_pb2.ReceiptHeader(lost=[1, 2, 77, 1 << 31]), 1),
    ],
)
async def test_what_receipts_teach(
    tiny: Codec, panorama: np.ndarray, receipt: link_pb2.ReceiptHeader, reference: int | None
):
    stream = PredictedStream(tiny)
    async with stream.turn():
        stream.encoder.encode(panorama, bpp=0.5)
    await stream.answered(1, (), receipt)
    assert (stream.encoder.reference.number if stream.encoder.reference else None) == reference


async def _send(stream: PredictedStream, number: int, panorama: np.ndarray) -> None:
    async with stream.turn():
        stream.encoder.encode(panorama, bpp=0.5)
    await stream.answered(number, (), link_pb2.ReceiptHeader())


async def test_many_streams_share_their_memory(tiny: Codec, panorama: np.ndarray):
    """A sender that names another stream for each picture would have all of their states held."""
    alone = PredictedStreams(1 << 30)
    for number in (1, 2):
        await _send(alone.get("me", "camera", tiny), number, panorama)
    one = alone.bytes
    streams = PredictedStreams(3 * one)
    for name in range(12):
        for number in (1, 2):
            await _send(streams.get("me", str(name), tiny), number, panorama)
            assert streams.bytes <= 3 * one
    assert 2 <= len(streams) <= 3
    assert streams.get("me", "11", tiny).encoder.reference, "the last one goes on"
    assert streams.get("me", "0", tiny).encoder.reference is None


async def test_a_stream_that_has_no_room_is_sent_whole(tiny: Codec, panorama: np.ndarray):
    streams = PredictedStreams(1 << 10)
    for number in (1, 2):
        stream = streams.get("me", "large", tiny)
        async with stream.turn():
            packet = stream.encoder.encode(panorama, bpp=0.5)
        assert packet.header.stream and not packet.header.stream.reference
        await stream.answered(number, (), link_pb2.ReceiptHeader())
        assert streams.bytes == 0
