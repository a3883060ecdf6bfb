"""Hybrid ARQ as a transmitter runs it: what is asked for, added up, given up, and counted."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from panolink.phy.harq import CHASE_FIRST
from panolink.rpc.flow_control.limits import MAX_LATER_ROUNDS
from panolink.rpc.server.server import Server
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.rpc.wire.deliveries import Delivery
from panolink.services.channel.simulator import apply_channel
from panolink.services.transmitter.harq_sender import HarqSession
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.v1 import transmitter_pb2
from tests.services.manual_sender import Air

pytestmark = pytest.mark.slow

Start = Callable[..., Awaitable[Server]]


FADED = {"model": "awgn", "snr_db": -5.0, "seed": 3}
"""Where most indices and all features fail once, and little of them added up."""


@pytest.fixture
def panorama(panorama: np.ndarray) -> np.ndarray:
    """Larger: a good number of segments."""
    return panorama.repeat(4, 0).repeat(4, 1)


def sample(service: Server, name: str, **labels: str) -> float:
    return service.metrics.registry.get_sample_value(f"panolink_{name}", labels) or 0.0


async def sent(target: str, panoramas: Any, **options: Any) -> list[Delivery]:
    async with Client(target, reconnect_timeout=1, in_flight=1) as link:
        return [delivery async for delivery in link.send(panoramas, **options)]


def test_the_protocol_has_as_many_rounds_as_the_radio() -> None:
    assert len(CHASE_FIRST) - 1 == MAX_LATER_ROUNDS


async def test_rounds_recover_what_is_lost_without_them(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, **FADED)
    transmitter = await start("transmitter", target=channel.address)
    (once,) = await sent(transmitter.address, [panorama], tau=0.5)
    assert once.segments.lost_by_layer["indices"]
    assert (once.rounds, once.retransmitted_symbols, once.segments.recovered) == (1, 0, 0)
    (delivery,) = await sent(transmitter.address, [panorama], tau=0.5, harq=3)
    assert delivery.delivered
    assert delivery.segments.sent == once.segments.sent
    assert not any(delivery.segments.lost_by_layer[layer] for layer in ("header", "mask", "indices"))
    assert delivery.segments.recovered + delivery.segments.lost == once.segments.lost  # the seed's first burst, again
    assert 1 < delivery.rounds <= 4
    assert delivery.symbols == once.symbols + delivery.retransmitted_symbols
    assert delivery.symbols_per_pixel == delivery.symbols / panorama[..., 0].size
    assert delivery.retransmitted_symbols < 3 * once.symbols  # only what failed goes again
    for service in (transmitter, channel, receiver):
        assert sample(service, "symbols_total") == once.symbols + delivery.symbols
        assert (
            sum(
                sample(service, "segments_recovered_total", layer=layer)
                for layer in ("header", "mask", "indices", "features")
            )
            == delivery.segments.recovered
        )
    for service in (transmitter, receiver):
        assert sample(service, "harq_rounds_total") == delivery.rounds - 1
    assert sample(receiver, "panoramas_total", code="OK") == 2
    assert sample(receiver, "harq_waiting") == sample(receiver, "harq_held_bytes") == 0
    assert sample(transmitter, "retransmitted_symbols_total") == delivery.retransmitted_symbols


async def test_a_channel_without_a_way_back_sees_one_round(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, one_way=True, **FADED)
    transmitter = await start("transmitter", target=channel.address, harq=3)
    (delivery,) = await sent(transmitter.address, [panorama], tau=0.5)
    assert delivery.delivered
    assert delivery.segments.lost
    assert (delivery.rounds, delivery.retransmitted_symbols) == (1, 0)
    assert sample(receiver, "harq_rounds_total") == sample(transmitter, "harq_rounds_total") == 0


async def test_a_clean_first_round_is_the_only_one(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, harq=3)
    (delivery,) = await sent(transmitter.address, [panorama])
    assert delivery.delivered
    assert delivery.rounds == 1
    (off,) = await sent(transmitter.address, [panorama], harq=0)
    np.testing.assert_array_equal(off.picture, delivery.picture)


async def test_a_deadline_that_is_over_leaves_one_round(start: Start, panorama: np.ndarray) -> None:
    """With a receiver that waits 30 s where it hopes for more, the test would take too long."""
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, **FADED)
    transmitter = await start("transmitter", target=channel.address, symbol_rate_hz=1e12)
    async with asyncio.timeout(20):
        (delivery,) = await sent(transmitter.address, [panorama], deadline=1e-6, harq=3)
    assert delivery.delivered
    assert delivery.segments.lost
    assert delivery.rounds == 1
    assert sample(receiver, "harq_given_up_total", reason="rounds") == 1


async def test_rounds_keep_to_the_budget_and_serve_the_base_first(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, **FADED)
    transmitter = await start("transmitter", target=channel.address, harq_reserve=0.2)
    (once,) = await sent(transmitter.address, [panorama], symbols_per_pixel=0.03)
    (delivery,) = await sent(transmitter.address, [panorama], symbols_per_pixel=0.03, harq=3)
    assert delivery.delivered
    assert delivery.symbol_budget and 0.8 * delivery.symbol_budget < delivery.symbols <= delivery.symbol_budget
    assert delivery.retransmitted_symbols
    assert delivery.segments.recovered
    lost = delivery.segments.lost_by_layer
    assert not lost["header"] and lost["indices"] < once.segments.lost_by_layer["indices"]
    assert lost["features"]  # there was no room for all
    assert sample(transmitter, "harq_given_up_total", reason="budget") == 1


async def test_too_many_rounds_are_refused(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    with pytest.raises(ValueError, match="harq is 4 rounds"):
        await sent(transmitter.address, [panorama], harq=4)


@pytest.mark.parametrize("pilot_spacing", [0, 12])
async def test_rounds_with_pilots_and_integers(start: Start, panorama: np.ndarray, pilot_spacing: int) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="rayleigh", snr_db=-3, seed=1)
    transmitter = await start(
        "transmitter", target=channel.address, sample_format="ci16_le", pilot_spacing=pilot_spacing, harq=3
    )
    (delivery,) = await sent(transmitter.address, [panorama], tau=0.5)
    assert delivery.rounds > 1
    assert delivery.segments.recovered > delivery.segments.lost


async def test_all_rounds_meet_the_same_receiver(start: Start, panorama: np.ndarray) -> None:
    receivers = [await start("receiver") for _ in range(2)]
    target = ",".join(receiver.address for receiver in receivers)
    channels = [await start("channel", target=target, **FADED) for _ in range(2)]
    transmitter = await start("transmitter", target=",".join(channel.address for channel in channels), harq=3)
    got = await sent(transmitter.address, [panorama] * 6)
    assert all(delivery.rounds > 1 and delivery.segments.recovered for delivery in got)
    for receiver in receivers:
        assert sample(receiver, "panoramas_total", code="OK") == 3
        assert sample(receiver, "harq_rounds_total") > 0
        assert sample(receiver, "harq_unknown_total") == 0


@pytest.mark.parametrize("ended", ["deadline", "budget"])
async def test_a_sender_that_may_send_no_more_says_so(start: Start, panorama: np.ndarray, ended: str) -> None:
    receiver = await start("receiver")
    air, metrics = Air(receiver, panorama), TransmitterMetrics()
    delivery = transmitter_pb2.DeliveryHeader(symbols=100, symbol_budget=100 if ended == "budget" else 0)
    follower = HarqSession(air.retransmitter, delivery, 3, math.inf, 60.0, metrics)
    follower.announce()
    (asked,) = await air.answers(apply_channel(air.channel, air.retransmitter.first)[0])
    if ended == "deadline":
        follower.until = time.monotonic()
    sent_bursts: list[Burst] = []

    async def send(burst: Burst) -> Receipt:
        sent_bursts.append(burst)
        return (await air.answers(burst))[0]

    async with asyncio.timeout(20):
        final = await follower.run(asked, send)
    assert [len(burst.symbols) for burst in sent_bursts] == [0]
    assert final.picture
    assert sum(count.lost for count in final.header.segments) == len(asked.header.needed)
    assert delivery.symbols == 100
    assert metrics.registry.get_sample_value("panolink_harq_given_up_total", {"reason": ended}) == 1
    assert sample(receiver, "harq_given_up_total", reason="asked") == 1


async def test_a_receiver_that_was_restarted_gets_all_again(start: Start, panorama: np.ndarray) -> None:
    receiver, restarted = await start("receiver"), await start("receiver")
    air = Air(receiver, panorama)
    size = len(air.retransmitter.first.symbols)
    delivery = transmitter_pb2.DeliveryHeader(symbols=size, rounds=1, width=1024, height=512)
    follower = HarqSession(air.retransmitter, delivery, 3, math.inf, 60.0, TransmitterMetrics())
    follower.announce()
    (asked,) = await air.answers(apply_channel(air.channel, air.retransmitter.first)[0])
    air.receiver = restarted
    sent_symbols: list[int] = []

    async def send(burst: Burst) -> Receipt:
        sent_symbols.append(len(burst.symbols))
        return (await air.answers(apply_channel(air.channel, burst)[0]))[0]

    final = await follower.run(asked, send)
    assert final.picture
    assert sum(count.recovered for count in final.header.segments)
    assert sent_symbols[1] == size and 0 < sent_symbols[2] < size  # nothing of the first receiver's is counted on
    assert delivery.symbols == size + sum(sent_symbols) == size + delivery.retransmitted_symbols
    assert delivery.rounds == 1 + len(sent_symbols)
    assert sample(restarted, "panoramas_total", code="OK") == 1
    assert sample(restarted, "harq_unknown_total") == 1


async def test_a_link_that_forgets_again_and_again_is_given_up(start: Start, panorama: np.ndarray) -> None:
    """First rounds meet one receiver, all others another, as behind a balancer that knows nothing of bursts."""
    one, other = await start("receiver"), await start("receiver")
    air = Air(one, panorama)
    delivery = transmitter_pb2.DeliveryHeader(symbols=1, rounds=1, width=1024, height=512)
    follower = HarqSession(air.retransmitter, delivery, 3, math.inf, 60.0, TransmitterMetrics())
    follower.announce()
    first = apply_channel(air.channel, air.retransmitter.first)[0]
    (asked,) = await air.answers(first)

    async def send(burst: Burst) -> Receipt:
        air.receiver = other if burst.header.harq.round else one
        return (await air.answers(burst))[0]

    async with asyncio.timeout(20):
        final = await follower.run(asked, send)
    assert final.header.failure.code == 14
    assert "lost the first rounds" in final.header.failure.message
    assert sample(other, "harq_unknown_total") == 3
