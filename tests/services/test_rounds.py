"""Hybrid ARQ over transmitter, channel and receiver: what is asked for, added up, given up, and counted."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from panolink.link.segments import Segment
from panolink.link.unequal_protection import assign_formats
from panolink.phy import Channel, Conditions, Modulation, Scheme, modulate
from panolink.phy.harq import CHASE_FIRST
from panolink.rpc.flow_control.limits import MAX_LATER_ROUNDS, Limits
from panolink.rpc.server.server import Server
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.bursts import Burst, Receipt, burst_messages, receipts
from panolink.rpc.wire.deliveries import Delivery
from panolink.rpc.wire.segments import segments_to_wire
from panolink.services.channel.simulator import apply_channel
from panolink.services.transmitter.harq_sender import HarqSession, Retransmitter
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.v1 import link_pb2, link_pb2_grpc, transmitter_pb2

Start = Callable[..., Awaitable[Server]]

FADED = {"model": "awgn", "snr_db": -5.0, "seed": 3}
"""Where most indices and all features fail once, and little of them added up."""

PROTECTED = {"header": 1 / 10, "mask": 1 / 5, "indices": 1 / 3, "features": 1 / 2}
"""QPSK's code rates in bursts that are made here: the link's own may change."""


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


# ── against the receiver alone ────────────────────────────────────────────────────────────────────────────────────────


class Air:
    """A sender of one burst to a receiver, round by round, through a channel that it holds in its hand."""

    def __init__(self, receiver: Server, panorama: np.ndarray, burst_id: str = "air-1") -> None:
        from panolink.codec.codec import Codec

        codec = Codec.load(receiver.settings.models[0], device="cpu")  # type: ignore[attr-defined]
        packet = codec.encode(panorama, tau=0.5, robust=True)
        slices = [(str(piece.layer), piece.payload or b"") for piece in packet.slices]
        schemes = {layer: (Scheme(Modulation.QPSK, rate),) for layer, rate in PROTECTED.items()}
        formats = assign_formats([(layer, len(payload)) for layer, payload in slices if payload], schemes)
        following = iter(formats)
        segments = segments_to_wire(Segment(layer, next(following) if payload else None) for layer, payload in slices)
        payloads = [payload for _, payload in slices if payload]
        symbols = modulate(payloads, formats)
        header = link_pb2.BurstHeader(
            burst_id=burst_id,
            model_fingerprint=codec.fingerprint,
            segments=segments,
            sample_format=link_pb2.SAMPLE_FORMAT_CF32_LE,
            channel_state=link_pb2.ChannelState(coherence_symbols=len(symbols)),
            return_picture=True,
            harq=link_pb2.Harq(rounds_left=3, wait_seconds=20),
        )
        self.receiver = receiver
        self.retransmitter = Retransmitter(Burst(header, np.ones(1, np.complex64), symbols), payloads, formats)
        self.channel = Channel(Conditions("awgn", -3.2, seed=3))

    def first(self, *, rounds_left: int = 3, wait_seconds: float = 20.0) -> Burst:
        """The first round as it arrives."""
        harq = self.retransmitter.first.header.harq
        harq.rounds_left, harq.wait_seconds = rounds_left, wait_seconds
        return apply_channel(self.channel, self.retransmitter.first)[0]

    def round(self, number: int, segments: Any, *, rounds_left: int = 1) -> Burst:
        """A later round as it arrives."""
        made = self.retransmitter.round(number, list(segments), rounds_left=rounds_left, wait_seconds=20.0)
        return apply_channel(self.channel, made)[0]

    async def answers(self, *bursts: Burst) -> list[Receipt]:
        """What the receiver answers to bursts that come one after the other, on one stream."""
        async with open_channel(self.receiver.address) as connection:
            stub: Any = link_pb2_grpc.LinkStub(connection)
            call = stub.Carry()
            told = receipts(call, Limits())
            got = []
            for burst in bursts:
                for message in burst_messages(burst):
                    await call.write(message)
                got.append((await anext(told))[1])
            await call.done_writing()
            return got


async def watched(receiver: Server, count: int) -> asyncio.Task[list[Any]]:
    """A viewer who waits for so many panoramas."""

    async def look() -> list[Any]:
        async with Client(receiver.address) as client:
            return [seen async for seen in client.watch(count=count)]

    looking = asyncio.create_task(look())
    while not sample(receiver, "streams", kind="watch"):
        await asyncio.sleep(0.01)
    return looking


async def test_adding_up_beats_hearing_anew(start: Start, panorama: np.ndarray) -> None:
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
    heard = sum(count.sent - count.lost for count in anew.header.segments)
    assert recovered >= len(needed) / 2
    assert heard < recovered / 2
    assert final.picture
    assert final.header.rounds == 2


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
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert sample(receiver, "harq_given_up_total", reason="closing") == 1


async def test_rounds_that_make_no_sense_cost_nothing_that_was_heard(start: Start, panorama: np.ndarray) -> None:
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
    ("change", "told"),
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
    start: Start, panorama: np.ndarray, change: dict[str, Any], told: str
) -> None:
    air = Air(await start("receiver"), panorama)
    burst = air.first()
    burst.header.harq.CopyFrom(link_pb2.Harq(**change))
    (refused,) = await air.answers(burst)
    assert told in refused.header.failure.message
    assert refused.header.failure.code == 3
