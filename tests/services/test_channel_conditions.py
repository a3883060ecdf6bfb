"""What the channel can be told, and bursts that make no sense, over the wire."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from panolink.errors import LinkError
from panolink.phy import Channel, Conditions, Phase, Scenario, SnrTrace
from panolink.rpc.server.server import Server
from panolink.rpc.wire.bursts import Burst
from panolink.rpc.wire.deliveries import Delivery
from panolink.rpc.wire.segments import formats_from_wire
from panolink.v1 import link_pb2
from tests.rpc.helpers import connected_client
from tests.services.kept_bursts import SYMBOLS, Keeper, next_hop, sent

Start = Callable[..., Awaitable[Server]]


QPSK_HALF = link_pb2.SegmentFormat(payload_bytes=10, modulation=link_pb2.MODULATION_QPSK, code_rate=0.5)


async def kept(start: Start, bursts: list[Burst], **settings: Any) -> list[Burst]:
    """What leaves a channel with these settings, as one stream."""
    keeper = Keeper()
    async with next_hop(keeper) as hop:
        service = await start("channel", target=hop.address, **settings)
        async with connected_client(service.address) as link_client:
            for burst in bursts:
                receipt = await (await link_client.send(burst.header.burst_id, burst))
                assert not receipt.header.HasField("failure"), receipt.header.failure.message
    return [keeper.bursts[burst.header.burst_id] for burst in bursts]


@pytest.mark.parametrize("model", ["jakes", "tdl-c"])
async def test_new_models_cross_the_wire(start: Start, model: str) -> None:
    settings = {"model": model, "seed": 3, "doppler_hz": 50.0, "snr_db": 12.0}
    arrived = await kept(start, [sent("1"), sent("2")], **settings)
    channel = Channel(Conditions(**settings))
    for burst in arrived:
        expected = channel.apply(sent().symbols)
        np.testing.assert_array_equal(burst.symbols, expected.symbols)
        np.testing.assert_array_equal(burst.csi, expected.csi)
        assert burst.header.channel_state.coherence_symbols == expected.coherence_symbols
        assert burst.header.channel_state.snr_db == pytest.approx(12)


async def test_a_scenario_from_a_file_goes_by_each_streams_own_time(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "fade.toml"
    path.write_text("[[phase]]\nseconds = 0.002\nsnr_db = 20\n[[phase]]\nseconds = 1\nsnr_db = 2")
    settings = {"model": "awgn", "scenario": path}
    for _ in range(2):  # 1000 symbols at 1 Msymbol/s are a millisecond
        arrived = await kept(start, [sent(name) for name in "123"], **settings)
        snrs = [burst.header.channel_state.snr_db for burst in arrived]
        assert snrs == pytest.approx([20, 20, 2])


async def test_the_wall_clock_is_the_same_for_all_streams(start: Start) -> None:
    keeper = Keeper()
    fade = Scenario((Phase(0.3, {"snr_db": 20.0}), Phase(60, {"snr_db": 0.0})))
    async with next_hop(keeper) as hop:
        service = await start("channel", target=hop.address, model="awgn")
        async with connected_client(service.address) as early, Client(service.address) as client:
            await client.set_conditions(clock="wall", schedule=fade)
            await (await early.send("1", sent("1")))
            await asyncio.sleep(0.3)
            async with connected_client(service.address) as late:  # a new stream, and yet the fade has come
                await (await late.send("2", sent("2")))
            await (await early.send("3", sent("3")))
    snrs = [keeper.bursts[name].header.channel_state.snr_db for name in "123"]
    assert snrs == pytest.approx([20, 0, 0])


async def test_schedules_are_set_told_and_ended_while_it_runs(start: Start) -> None:
    trace = SnrTrace((0.0, 10.0), (30.0, 0.0), repeat=True)
    scenario = Scenario((Phase(1, {"model": "tdl-a", "coherence_symbols": 8}, final_snr_db=3.0),))
    service = await start("channel", target="127.0.0.1:1", seed=2)
    async with Client(service.address) as client:
        assert (await client.set_conditions(schedule=trace)).schedule == trace
        assert await client.set_conditions(schedule=scenario) == Conditions(seed=2, schedule=scenario)
        assert (await client.set_conditions(snr_db=5)).schedule == scenario
        assert await client.set_conditions(unscheduled=True) == Conditions(seed=2, snr_db=5)
        with pytest.raises(LinkError, match=r"phase 1: .*erasure_rate is 2"):
            await client.set_conditions(schedule=Scenario((Phase(1, {"erasure_rate": 2.0}),)))
        assert await client.conditions() == Conditions(seed=2, snr_db=5)


async def test_erased_segments_arrive_as_erasures_and_are_counted(start: Start) -> None:
    formats = formats_from_wire([QPSK_HALF])
    count = 20
    burst = sent("1")
    burst.header.ClearField("segments")
    burst.header.segments.extend([QPSK_HALF] * count)
    burst.header.channel_state.coherence_symbols = count * formats[0].symbols
    burst = Burst(burst.header, burst.csi, np.resize(burst.symbols, count * formats[0].symbols))
    keeper = Keeper()
    async with next_hop(keeper) as hop:
        service = await start("channel", target=hop.address, model="ideal", erasure_rate=0.3, erasure_burst=2, seed=1)
        async with connected_client(service.address) as link_client:
            await (await link_client.send("1", burst))
        erased = service.metrics.registry.get_sample_value("panolink_erased_symbols_total")
    arrived = keeper.bursts["1"]
    assert arrived.header.channel_state.coherence_symbols == 1
    assert erased == np.sum(arrived.csi == 0) == np.sum(arrived.symbols == 0)
    assert erased and erased % formats[0].symbols == 0  # whole segments
    assert erased < len(burst.symbols)


@pytest.mark.slow
async def test_pilots_instead_of_perfect_csi(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="jakes", doppler_hz=500, snr_db=20, seed=1)
    deliveries = []
    for spacing in (0, 8):
        transmitter = await start("transmitter", target=channel.address, pilot_spacing=spacing)
        async with Client(transmitter.address) as link:
            deliveries += [delivery async for delivery in link.send([panorama])]
    known, learnt = deliveries
    assert known.delivered and learnt.delivered
    assert learnt.symbols == known.symbols + -(-known.symbols // 7)  # they count
    assert learnt.segments.lost == 0
    np.testing.assert_array_equal(known.picture, learnt.picture)


def spoilt(name: str, fingerprint: str) -> Burst:
    """A burst that makes no sense, in the way that its name says."""
    burst = sent(name, coherence=100)
    burst.header.model_fingerprint = fingerprint
    burst.header.segments[0].CopyFrom(QPSK_HALF)
    if name == "modulation":
        burst.header.segments[0].modulation = 9  # type: ignore[assignment]
    csi, symbols = burst.csi.copy(), burst.symbols.copy()
    if name in ("modulation", "zero csi"):
        symbols = symbols[: formats_from_wire([QPSK_HALF])[0].symbols]
        csi = csi[: -(-len(symbols) // 100)]
    if name == "nan":
        symbols[5] = np.nan
    elif name == "infinite":
        symbols[7:9] = np.inf
    elif name == "csi":
        csi[3] = np.nan
    elif name == "zero csi":
        csi[:] = 0
    elif name == "pilots":
        burst.header.pilot_spacing = 1
    return Burst(burst.header, csi, symbols)


REFUSALS = {
    "nan": (3, f"symbols: 1 of {SYMBOLS} are not finite, the first at 5"),
    "infinite": (3, f"symbols: 2 of {SYMBOLS} are not finite, the first at 7"),
    "csi": (3, "csi: 1 of 10 are not finite, the first at 3"),
    "length": (3, f"burst of {SYMBOLS} symbols; its 1 segments make 104"),
    "modulation": (3, "unknown modulation number 9; allowed: 1, 2, 3"),
    "pilots": (3, "pilot_spacing is 1; allowed: 0, or 2 … 65536"),
    "zero csi": (15, ""),  # DATA_LOSS: nothing can be known of any symbol
}


@pytest.mark.slow
@pytest.mark.parametrize("erasure_rate", [0.0, 1e-9])  # the channel looks at segments only where it may erase them
async def test_bursts_that_make_no_sense_fail_alone(start: Start, panorama: np.ndarray, erasure_rate: float) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, seed=1, snr_db=15, erasure_rate=erasure_rate)
    transmitter = await start("transmitter", target=channel.address)

    async def deliveries() -> list[Delivery]:
        async with Client(transmitter.address) as link:
            return [delivery async for delivery in link.send([panorama] * 3)]

    undisturbed = await deliveries()
    async with Client(receiver.address) as client:
        (model,) = (await client.info()).models
    async with connected_client(channel.address) as link_client:
        among = asyncio.create_task(deliveries())
        for name, (code, message) in REFUSALS.items():
            receipt = await (await link_client.send(name, spoilt(name, model["fingerprint"])))
            assert receipt.header.failure.code == code
            assert message in receipt.header.failure.message
            assert "\n" not in receipt.header.failure.message
    # The same seed, the same pictures: what went wrong on one stream was no matter to the other.
    for before, after in zip(undisturbed, await among, strict=True):
        assert before.delivered and after.delivered
        np.testing.assert_array_equal(before.picture, after.picture)


async def test_a_burst_that_is_refused_leaves_its_streams_channel_as_it_was(start: Start) -> None:
    keeper = Keeper()
    async with next_hop(keeper) as hop:
        service = await start("channel", target=hop.address, model="jakes", seed=1)
        async with connected_client(service.address) as link_client:
            for burst in (sent("1"), spoilt("nan", ""), spoilt("csi", ""), sent("2")):
                await (await link_client.send(burst.header.burst_id, burst))
    channel = Channel(Conditions("jakes", seed=1))
    for name in "12":
        np.testing.assert_array_equal(keeper.bursts[name].symbols, channel.apply(sent().symbols).symbols)
