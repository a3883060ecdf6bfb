import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from panolink.client import Client
from panolink.errors import LinkError
from panolink.phy import Channel, Conditions, Phase, Scenario, SnrTrace
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.server.server import Server
from panolink.rpc.transport.carry import LinkEndpoint
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.conditions import conditions_to_wire
from panolink.v1 import channel_pb2, channel_pb2_grpc, link_pb2_grpc
from tests.rpc.helpers import connected_client
from tests.services.kept_bursts import Keeper, next_hop, sent


@pytest.mark.slow
async def test_bursts_go_on_and_receipts_come_back(start: Callable[..., Awaitable[Server]]) -> None:
    keeper = Keeper()
    async with next_hop(keeper) as hop:
        service = await start("channel", target=hop.address, seed=3, coherence_symbols=100)
        async with connected_client(service.address) as link_client:
            receipt = await (await link_client.send("1", sent()))
    assert receipt.picture == b"picture"
    assert set(receipt.header.seconds) == {"decode", "channel"}
    expected = Channel(Conditions("rayleigh", snr_db=10, coherence_symbols=100, seed=3)).apply(sent().symbols)
    np.testing.assert_array_equal(keeper.bursts["1"].symbols, expected.symbols)


async def test_a_seed_gives_every_stream_the_same_channel(start: Callable[..., Awaitable[Server]]) -> None:
    keeper = Keeper()
    async with next_hop(keeper) as hop:
        service = await start("channel", target=hop.address, seed=7)
        async with connected_client(service.address) as left, connected_client(service.address) as right:
            for link_client, name in (
                (left, "a1"),
                (right, "b1"),
                (right, "b2"),
                (left, "a2"),
                (left, "a3"),
                (right, "b3"),
            ):
                await (await link_client.send(name, sent(name)))
    for number in "123":
        np.testing.assert_array_equal(keeper.bursts["a" + number].symbols, keeper.bursts["b" + number].symbols)
    assert not np.array_equal(keeper.bursts["a1"].symbols, keeper.bursts["a2"].symbols)


async def test_conditions_change_while_it_runs(start: Callable[..., Awaitable[Server]]) -> None:
    keeper = Keeper()
    async with next_hop(keeper) as hop:
        service = await start("channel", target=hop.address, seed=7, snr_db=0)
        async with connected_client(service.address) as link_client, Client(service.address) as client:
            await (await link_client.send("1", sent("1")))
            new = await client.set_conditions(model="awgn", snr_db=30)
            await (await link_client.send("2", sent("2")))
            assert new == await client.conditions() == Conditions("awgn", snr_db=30, seed=7)
            with pytest.raises(LinkError, match="snr_db is 1000"):
                await client.set_conditions(snr_db=1000)
            assert await client.conditions() == new
    assert keeper.bursts["1"].header.channel_state.snr_db == 0
    assert keeper.bursts["2"].header.channel_state.snr_db == 30
    assert np.all(keeper.bursts["2"].csi == 1)


@pytest.mark.slow
async def test_a_next_hop_that_goes_away_fails_bursts_and_comes_back(
    start: Callable[..., Awaitable[Server]],
) -> None:
    keeper = Keeper()
    hop = next_hop(keeper)
    await hop.start()
    service = await start("channel", target=hop.address)
    async with connected_client(service.address) as link_client:
        assert not (await (await link_client.send("1", sent("1")))).header.HasField("failure")
        await hop.drain()
        lost = await (await link_client.send("2", sent("2")))
        assert f"next hop {hop.address}" in lost.header.failure.message
        again = Server("receiver", hop.settings.model_copy(update={"listen": hop.address}), ServiceMetrics())
        link = LinkEndpoint(lambda: keeper, limits=Limits(), streams=again.streams("link"), in_flight=4)
        again.add(link_pb2_grpc.add_LinkServicer_to_server, link, "panolink.v1.Link")
        async with again:
            for attempt in range(50):
                receipt = await (await link_client.send(f"again{attempt}", sent(f"again{attempt}")))
                if not receipt.header.HasField("failure"):
                    break
                await asyncio.sleep(0.1)
            assert not receipt.header.HasField("failure")


@pytest.mark.slow
def test_the_channel_needs_no_torch() -> None:
    code = "import sys, panolink.services.channel.servicer; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    paths = [path for path in sys.path if path]
    result = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {code}"], timeout=60)
    assert result.returncode == 0


async def test_a_schedule_tells_what_is_in_force(start: Callable[..., Awaitable[Server]]) -> None:
    """By the streams' clock after each burst, by the wall clock as time goes by."""
    keeper = Keeper()
    symbols = len(sent().symbols)
    trace = SnrTrace((0.0, 1.0), (20.0, 0.0))
    async with next_hop(keeper) as hop:
        service = await start("channel", target=hop.address, model="awgn", symbol_rate_hz=10 * symbols)
        async with connected_client(service.address) as link_client, Client(service.address) as client:
            assert await client.conditions_in_force() == (await client.conditions(), 0.0)
            await client.set_conditions(schedule=trace)
            now, seconds = await client.conditions_in_force()
            assert (now.snr_db, seconds, now.schedule) == (20, 0, None)
            for count in (1, 2):
                await (await link_client.send(str(count), sent(str(count))))
                now, seconds = await client.conditions_in_force()
                assert seconds == pytest.approx(0.1 * count) and now.snr_db == pytest.approx(20 - 2 * count)
            assert (await client.conditions()).snr_db == 10  # as it was set
            await client.set_conditions(clock="wall")
            now, seconds = await client.conditions_in_force()
            assert now.snr_db == pytest.approx(20 - 20 * min(seconds, 1))
            assert (await client.conditions_in_force())[1] > seconds


@pytest.mark.parametrize(
    "schedule, silent",
    [
        (SnrTrace((0.0, 1.0), (20.0, 0.0)), True),
        (Scenario((Phase(1, {"snr_db": 3}),)), True),
        (Scenario((Phase(1, {"snr_db": 3, "model": "awgn"}),)), False),
        (Scenario((Phase(1, {"erasure_rate": 0.5}),)), False),
    ],
)
async def test_a_schedule_without_effect_says_so(
    start: Callable[..., Awaitable[Server]], schedule: SnrTrace | Scenario, silent: bool
) -> None:
    async with next_hop(Keeper()) as hop:
        service = await start("channel", target=hop.address, model="ideal")
        async with open_channel(service.address) as channel:
            stub = channel_pb2_grpc.ChannelStub(channel)
            wire = conditions_to_wire(schedule=schedule)
            changed = await stub.SetConditions(channel_pb2.SetConditionsRequest(conditions=wire))
            asked = await stub.GetConditions(channel_pb2.GetConditionsRequest())
    assert list(changed.notes) == list(asked.notes)
    assert [("ideal has no noise" in note) for note in asked.notes] == [True] * silent
    assert Conditions("awgn", schedule=schedule).notes == ()
