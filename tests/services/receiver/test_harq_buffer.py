"""Soft buffers of bursts under way: rounds added up, given up, repeated, and bounded in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest

from panolink.client import Client
from panolink.rpc.server.server import Server
from panolink.rpc.wire.bursts import Burst
from panolink.v1 import link_pb2
from tests.services.manual_sender import Air

Start = Callable[..., Awaitable[Server]]


@pytest.fixture
def panorama(panorama: np.ndarray) -> np.ndarray:
    """Larger: a good number of segments."""
    return panorama.repeat(4, 0).repeat(4, 1)


def sample(service: Server, name: str, **labels: str) -> float:
    return service.metrics.registry.get_sample_value(f"panolink_{name}", labels) or 0.0


async def watched(receiver: Server, count: int) -> asyncio.Task[list[Any]]:
    """A viewer who waits for so many panoramas."""

    async def look() -> list[Any]:
        async with Client(receiver.address) as client:
            return [seen async for seen in client.watch(count=count)]

    looking = asyncio.create_task(look())
    while not sample(receiver, "streams", kind="watch"):
        await asyncio.sleep(0.01)
    return looking


@pytest.mark.slow
async def test_adding_up_beats_receiving_anew(start: Start, panorama: np.ndarray) -> None:
    """The same second round, alone and added to the first: at an SNR where alone it brings nothing of what failed."""
    receiver = await start("receiver")
    air = Air(receiver, panorama)
    (asked,) = await air.answers(air.first())
    needed = list(asked.header.needed)
    assert needed and not asked.header.segments and not asked.picture
    again = air.round(1, needed, rounds_left=0)
    (final,) = await air.answers(again)
    recovered = sum(count.recovered for count in final.header.segments)
    alone = link_pb2.BurstHeader()
    alone.CopyFrom(again.header)
    alone.burst_id = "alone-1"
    alone.ClearField("harq")
    (anew,) = await air.answers(Burst(alone, again.csi, again.symbols))
    arrived = sum(count.sent - count.lost for count in anew.header.segments)
    assert recovered >= len(needed) / 2
    assert arrived < recovered / 2
    assert final.picture
    assert final.header.rounds == 2


@pytest.mark.slow
async def test_a_round_sent_again_is_counted_once(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    looking = await watched(receiver, 1)
    air = Air(receiver, panorama)
    first = air.first()
    asked, asked_again = await air.answers(first, first)
    assert list(asked.header.needed) == list(asked_again.header.needed)
    assert sample(receiver, "repeats_total") == 1
    second = air.round(1, asked.header.needed, rounds_left=0)
    (final,) = await air.answers(second)  # the streams before have ended
    again, first_again = await air.answers(second, first)
    assert list(final.header.segments) == list(again.header.segments) == list(first_again.header.segments)
    assert again.picture == final.picture
    assert sample(receiver, "repeats_total") == 3
    assert sample(receiver, "harq_rounds_total") == 1
    assert sample(receiver, "symbols_total") == len(first.symbols) + len(second.symbols)
    (seen,) = await asyncio.wait_for(looking, 10)
    assert (seen.burst_id, seen.rounds) == ("air-1", 2)
    assert sample(receiver, "panoramas_total", code="OK") == 1


@pytest.mark.slow
async def test_a_receiver_that_does_not_know_the_burst_asks_for_all(start: Start, panorama: np.ndarray) -> None:
    receiver, other = await start("receiver"), await start("receiver")
    air = Air(receiver, panorama)
    (asked,) = await air.answers(air.first())
    air.receiver = other  # as if it had been restarted
    (unknown,) = await air.answers(air.round(1, asked.header.needed))
    assert unknown.header.needs_first_round and not unknown.header.HasField("failure")
    assert sample(other, "harq_unknown_total") == 1
    asked, final = await air.answers(air.first(), air.round(2, []))
    assert asked.header.needed
    assert final.picture and not final.header.needed


async def test_who_waits_too_long_is_shown_as_it_is(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    looking = await watched(receiver, 1)
    air = Air(receiver, panorama)
    (asked,) = await air.answers(air.first(wait_seconds=0.05))
    (seen,) = await asyncio.wait_for(looking, 10)
    assert seen.segments.lost == len(asked.header.needed)
    assert sample(receiver, "harq_given_up_total", reason="waited") == 1
    (late,) = await air.answers(air.round(1, asked.header.needed))
    assert late.picture and not late.header.needed
    assert sample(receiver, "panoramas_total", code="OK") == 1


@pytest.mark.slow
async def test_memory_is_bounded_and_the_longest_wait_ends_first(start: Start, panorama: np.ndarray) -> None:
    probe = await start("receiver")
    await (air := Air(probe, panorama)).answers(air.first())
    size = int(sample(probe, "harq_held_bytes"))
    assert 0 < size < 200 * sum(segment.payload_bytes for segment in air.retransmitter.first.header.segments) + 10_000
    receiver = await start("receiver", harq_bytes=max(2 * size + size // 2, 1 << 16))
    airs = [Air(receiver, panorama, f"air-{number}") for number in range(4)]
    for air in airs:
        await air.answers(air.first())
    while sample(receiver, "panoramas_total", code="OK") < 2:
        await asyncio.sleep(0.01)
    assert sample(receiver, "harq_given_up_total", reason="memory") == 2
    assert sample(receiver, "harq_waiting") == 2
    assert sample(receiver, "harq_held_bytes") <= 2.5 * size
    (over,), (asked,) = [await air.answers(air.round(2, [])) for air in (airs[0], airs[3])]
    assert over.picture and asked.picture
    assert sample(receiver, "harq_given_up_total", reason="asked") == 1


@pytest.mark.slow
async def test_a_receiver_that_stops_shows_what_waits(start: Start, panorama: np.ndarray, tmp_path: Any) -> None:
    from panolink.services.receiver.servicer import build
    from panolink.services.receiver.settings import ReceiverSettings

    model = (await start("receiver")).settings.models[0]  # type: ignore[attr-defined]
    settings = {"listen": "127.0.0.1:0", "metrics_listen": "off", "models": (model,), "device": "cpu", "workers": 1}
    async with build(ReceiverSettings(**settings, save_folder=tmp_path)) as receiver:
        air = Air(receiver, panorama)
        (asked,) = await air.answers(air.first())
        assert asked.header.needed
        assert not list(tmp_path.glob("*.png"))
        looking = await watched(receiver, 1)
        assert sample(receiver, "viewers") == 1, "the archive is none"
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert len(await looking) == 1, "whoever watches sees it, too"
    assert sample(receiver, "harq_given_up_total", reason="closing") == 1


@pytest.mark.slow
async def test_rounds_that_make_no_sense_cost_nothing_that_was_received(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    for number, spoil in enumerate((_not_finite, _another_format, _not_a_segment)):
        air = Air(receiver, panorama, f"spoilt-{number}")
        (asked,) = await air.answers(air.first())
        (final,) = await air.answers(spoil(air.round(1, asked.header.needed)))
        assert final.picture and not final.header.HasField("failure")
        assert sum(count.lost for count in final.header.segments) == len(asked.header.needed)
        assert sample(receiver, "harq_given_up_total", reason="refused") == number + 1


def _not_finite(burst: Burst) -> Burst:
    burst.symbols[0] = np.nan
    return burst


def _another_format(burst: Burst) -> Burst:
    burst.header.segments[0].code_rate = 0.9
    return burst


def _not_a_segment(burst: Burst) -> Burst:
    burst.header.harq.numbers[-1] = 9999
    return burst


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"round": 4, "wait_seconds": 1}, "round 4 with 0 to follow, 3 is the last one"),
        ({"round": 1, "rounds_left": 3, "wait_seconds": 1}, "round 1 with 3 to follow"),
        ({"wait_seconds": 0}, "cannot wait 0"),
        ({"wait_seconds": float("nan")}, "cannot wait nan"),
        ({"numbers": [1], "wait_seconds": 1}, "round 0 numbers 1 of its"),
        ({"round": 1, "wait_seconds": 1}, "round 1 numbers 0 of its"),
    ],
)
async def test_headers_of_rounds_that_cannot_be(
    start: Start, panorama: np.ndarray, change: dict[str, Any], message: str
) -> None:
    air = Air(await start("receiver"), panorama)
    burst = air.first()
    burst.header.harq.CopyFrom(link_pb2.Harq(**change))
    (refused,) = await air.answers(burst)
    assert message in refused.header.failure.message
    assert refused.header.failure.code == 3


async def test_another_burst_of_its_id_does_not_get_among_its_rounds(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    air = Air(receiver, panorama)
    first, other = air.first(), air.first()
    other.header.content_digest = b"of another picture"
    asked, refused = await air.answers(first, other)
    assert asked.header.needed
    assert refused.header.failure.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    (final,) = await air.answers(air.round(1, list(asked.header.needed), rounds_left=0))
    assert final.picture
    (refused,) = await air.answers(other)
    assert refused.header.failure.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
