"""Faults of processes, connections and bursts: each panorama is answered once, and none is shown twice by a receiver.

What is killed stands in `test_kill.py`.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from panolink.client import Client
from tests.e2e.faulty_hop import faulty_hop
from tests.e2e.test_kill import COUNT, metrics, send_and, watcher

Launch = Callable[..., Any]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def receiver(launch: Launch) -> Any:
    """The one receiver that all go to, and that nothing happens to for long."""
    return launch("receiver", watch_policy="block")


@pytest.fixture(scope="module")
def link(launch: Launch, receiver: Any) -> dict[str, Any]:
    channel = launch("channel", target=receiver.address, snr_db=20)
    transmitter = launch("transmitter", target=channel.address)
    return {"transmitter": transmitter, "channel": channel, "receiver": receiver}


@pytest.mark.long
@pytest.mark.parametrize("victim", ["transmitter", "channel", "receiver"])
async def test_a_service_that_stands_still_for_a_while_costs_nothing(
    link: dict[str, Any], small: bytes, victim: str
) -> None:
    stopped = link[victim].process

    async def stand_still() -> None:
        stopped.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3)
        stopped.send_signal(signal.SIGCONT)

    async with watcher(link["receiver"]) as shown:
        got = await send_and(stand_still, link["transmitter"].address, small)
    assert all(delivery.delivered for delivery in got.values()), got
    assert Counter(shown) == Counter(list(got))


@pytest.mark.long
async def test_what_a_receiver_holds_that_stands_still_for_good_is_reported_lost_and_others_go_on(
    launch: Launch, link: dict[str, Any], small: bytes
) -> None:
    still = launch("receiver")
    stuck = launch("transmitter", target=still.address, receipt_timeout_seconds=2, reconnect_seconds=2)

    async def nothing() -> None: ...

    async def stand_still() -> None:
        still.process.send_signal(signal.SIGSTOP)

    got, undisturbed = await asyncio.gather(
        send_and(stand_still, stuck.address, small),
        send_and(nothing, link["transmitter"].address, small),
    )
    lost = [delivery for delivery in got.values() if not delivery.delivered]
    assert lost and {delivery.code for delivery in lost} <= {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
    assert all(delivery.delivered for delivery in undisturbed.values())


class HalfOpenProxy:
    """Forwards bytes until it is told to swallow them, on connections that stay open; later connections are well."""

    def __init__(self, target: str) -> None:
        self._target = target.rpartition(":")
        self._swallowing: set[asyncio.Event] = set()

    async def __aenter__(self) -> "HalfOpenProxy":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def go_silent(self) -> None:
        for event in self._swallowing:
            event.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._target[0], int(self._target[2]))
        silent = asyncio.Event()
        self._swallowing.add(silent)

        async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                if not silent.is_set():
                    sink.write(data)
                    await sink.drain()
            if not silent.is_set():
                sink.close()

        await asyncio.gather(forward(reader, there_writer), forward(there_reader, writer), return_exceptions=True)


@pytest.mark.long
async def test_a_half_open_connection_is_noticed_and_every_panorama_answered(
    launch: Launch, receiver: Any, small: bytes
) -> None:
    async with HalfOpenProxy(receiver.address) as proxy:
        transmitter = launch("transmitter", target=proxy.address, receipt_timeout_seconds=3)

        async def go_silent() -> None:
            proxy.go_silent()

        got = await send_and(go_silent, transmitter.address, small)
        lost = [delivery for delivery in got.values() if not delivery.delivered]
        assert lost and {delivery.code for delivery in lost} <= {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
        async with Client(transmitter.address) as client:  # a new stream has a new connection, sooner or later
            for _ in range(20):
                (delivery,) = [one async for one in client.send([("again", small)], picture=False)]
                if delivery.delivered:
                    break
        assert delivery.delivered


@pytest.mark.long
async def test_a_hop_that_does_wrong_to_bursts_harms_those_and_no_others(
    launch: Launch, receiver: Any, small: bytes
) -> None:
    before = await repeats(receiver)
    met: dict[str, str] = {}
    async with faulty_hop(receiver.address, met) as hop:
        transmitter = launch("transmitter", target=hop, receipt_timeout_seconds=5, max_in_flight=8)
        async with watcher(receiver) as shown, Client(transmitter.address, in_flight=8) as client:
            sent = ((f"p{number}", small) for number in range(COUNT))
            got = [delivery async for delivery in client.send(sent, picture=False)]
            await asyncio.sleep(0.2)
    assert Counter(delivery.source for delivery in got) == Counter(f"p{number}" for number in range(COUNT))
    assert max(Counter(shown).values()) == 1
    codes: dict[str, set[str]] = {}
    for delivery in got:
        codes.setdefault(met[delivery.source], set()).add(delivery.code or "OK")
        assert delivery.delivered == (delivery.source in shown), (delivery, met[delivery.source])
    assert codes == {
        "passed": {"OK"},
        "duplicated": {"OK"},
        "delayed": {"OK"},
        "dropped": {"DEADLINE_EXCEEDED"},
        "truncated": {"INVALID_ARGUMENT"},
        "corrupted": {"DATA_LOSS"},
        "poisoned": {"INVALID_ARGUMENT"},
        "mixed_up": {"DATA_LOSS"},
    }
    assert await repeats(receiver) - before == 2 * sum(fault == "duplicated" for fault in met.values())


async def repeats(receiver: Any) -> float:
    """Bursts that came again."""
    text = await metrics(receiver)
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("panolink_repeats_total "))


@pytest.mark.long
async def test_a_model_replaced_while_streaming_is_refused_by_who_does_not_hold_it(
    launch: Launch, receiver: Any, small: bytes
) -> None:
    transmitter = launch("transmitter", target=receiver.address, models="base")

    async def replace() -> None:
        transmitter.stop(signal.SIGTERM)
        await asyncio.to_thread(
            launch, "transmitter", target=receiver.address, models="paper", listen=transmitter.address
        )

    async with watcher(receiver) as shown:
        got = await send_and(replace, transmitter.address, small)
        await asyncio.sleep(0.2)
    refused = {source for source, delivery in got.items() if not delivery.delivered}
    assert refused and {got[source].code for source in refused} == {"FAILED_PRECONDITION"}
    assert Counter(shown) == Counter(set(got) - refused)
