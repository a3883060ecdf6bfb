"""SIGKILL to one service under load: every panorama is delivered once or reported lost, never both, never neither."""

import asyncio
import signal
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from panolink.client import Client
from panolink.errors import LinkError
from panolink.rpc.wire.deliveries import Delivery

Service = Any
Launch = Callable[..., Service]

pytestmark = pytest.mark.slow

COUNT = 24
PATIENCE = 120
"""Seconds: a service takes a while to come back on a machine that is busy."""


class Link:
    """Transmitter, channel and receiver, any of which can be killed, and started again where it was.

    Parameters
    ----------
    launch : starts a process.
    settings : of each service, by name.
    """

    def __init__(self, launch: Launch, **settings: dict[str, Any]) -> None:
        self._launch, self._settings = launch, settings
        self.services: dict[str, Service] = {}
        for name in ("receiver", "channel", "transmitter"):
            self.start(name)

    @property
    def several_rounds(self) -> bool:
        return "harq" in self._settings["transmitter"]

    def start(self, name: str) -> None:
        behind = {"channel": "receiver", "transmitter": "channel"}.get(name)
        settings = self._settings.get(name, {}) | ({"target": self.services[behind].address} if behind else {})
        if name in self.services:
            settings["listen"] = self.services[name].address
        self.services[name] = self._launch(name, **settings)

    def kill(self, *names: str) -> None:
        for name in names:
            self.services[name].stop(signal.SIGKILL)

    async def revive(self, image: bytes) -> None:
        """Start what was killed, and wait until all hops have found each other again."""
        for name, service in self.services.items():
            if service.process.poll() is not None:
                await asyncio.to_thread(self.start, name)
        async with asyncio.timeout(PATIENCE), Client(self.services["transmitter"].address) as client:
            while not all([one.delivered async for one in client.send([("again", image)], picture=False)]):
                await asyncio.sleep(0.1)


@pytest.fixture(scope="module", params=[20, -4], ids=["one round", "several rounds"])
def patient(request: pytest.FixtureRequest, launch: Launch) -> Iterator[Link]:
    """A link whose hops wait for each other as long as it takes."""
    waits = {"reconnect_seconds": PATIENCE}
    link = Link(
        launch,
        receiver={"watch_policy": "block"},
        channel={"model": "awgn", "snr_db": request.param} | waits,
        transmitter=({"harq": 3} if request.param < 0 else {}) | waits,
    )
    yield link
    link.kill(*link.services)


@pytest.fixture(scope="module")
def impatient(launch: Launch) -> Iterator[Link]:
    """A link whose hops give each other up at once."""
    waits = {"reconnect_seconds": 0.5}
    link = Link(launch, receiver={"watch_policy": "block"}, channel={"snr_db": 20} | waits, transmitter=waits)
    yield link
    link.kill(*link.services)


@asynccontextmanager
async def watcher(receiver: Service) -> AsyncIterator[list[str]]:
    """The names of all that a receiver shows, from now until it ends."""
    shown: list[str] = []

    async def watch() -> None:
        async with Client(receiver.address) as client:
            try:
                async for panorama in client.watch():
                    shown.append(panorama.source)
            except LinkError:
                return  # it was killed

    watching = asyncio.create_task(watch())
    while 'panolink_streams{kind="watch"} 1.0' not in await metrics(receiver):
        await asyncio.sleep(0.05)
    yield shown
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def metrics(service: Service) -> str:
    url = f"http://{service.metrics}/metrics"
    return (await asyncio.to_thread(urllib.request.urlopen, url, timeout=10)).read().decode()


async def send_and(
    happen: Callable[[], Awaitable[None]],
    target: str,
    image: bytes,
    *,
    after: int = 6,
    reconnect_timeout: float = PATIENCE,
    stream: str = "",
) -> dict[str, Delivery]:
    """Send panoramas, let something `happen` once `after` of them are answered; the one answer that each has."""
    got: list[Delivery] = []
    async with Client(target, reconnect_timeout=reconnect_timeout) as client:
        event: asyncio.Task[None] | None = None
        async for delivery in client.send(((f"p{n}", image) for n in range(COUNT)), picture=False, stream=stream):
            got.append(delivery)
            if len(got) == after:
                event = asyncio.ensure_future(happen())
        assert event
        await event
    assert Counter(delivery.source for delivery in got) == Counter(f"p{n}" for n in range(COUNT))
    return {delivery.source: delivery for delivery in got}


@pytest.mark.long
@pytest.mark.parametrize("victim", ["transmitter", "channel", "receiver"])
async def test_a_service_that_is_killed_and_restarted_costs_nothing(patient: Link, small: bytes, victim: str) -> None:
    """At -4 dB every panorama needs rounds of hybrid ARQ, and most of the time some are between two."""

    async def kill_and_restart() -> None:
        patient.kill(victim)
        await asyncio.to_thread(patient.start, victim)

    async with watcher(patient.services["receiver"]) as shown:
        got = await send_and(kill_and_restart, patient.services["transmitter"].address, small)
        assert all(delivery.delivered for delivery in got.values()), got
        assert any(delivery.rounds > 1 for delivery in got.values()) == patient.several_rounds, got
        if victim == "receiver":
            assert max(Counter(shown).values()) == 1
        else:
            assert Counter(shown) == Counter(list(got))


@pytest.mark.long
@pytest.mark.parametrize("victim", ["transmitter", "channel", "receiver"])
async def test_a_stream_goes_on_after_a_kill(patient: Link, small: bytes, victim: str) -> None:
    """What forgot its states gets a whole picture, and later ones are predicted again."""

    async def kill_and_restart() -> None:
        patient.kill(victim)
        await asyncio.to_thread(patient.start, victim)

    target = patient.services["transmitter"].address
    got = await send_and(kill_and_restart, target, small, stream="camera")
    assert all(delivery.delivered for delivery in got.values()), got
    pictures = [delivery.stream for delivery in got.values()]
    assert all(pictures)
    whole = [source for source, delivery in got.items() if delivery.stream and not delivery.stream.reference]
    assert 1 <= len(whole) <= 12, "all others were predicted"
    last = got[f"p{COUNT - 1}"].stream
    assert last and last.reference


@pytest.mark.long
@pytest.mark.parametrize("victim", ["transmitter", "channel", "receiver"])
async def test_what_a_killed_service_takes_with_it_is_reported_lost(impatient: Link, small: bytes, victim: str) -> None:
    await impatient.revive(small)

    async def kill() -> None:
        impatient.kill(victim)

    async with watcher(impatient.services["receiver"]) as shown:
        got = await send_and(kill, impatient.services["transmitter"].address, small, reconnect_timeout=0.5)
    lost = {source: delivery for source, delivery in got.items() if not delivery.delivered}
    assert 0 < len(lost) < COUNT
    assert {delivery.code for delivery in lost.values()} == {"UNAVAILABLE"}
    assert max(Counter(shown).values()) == 1
    if victim != "receiver":
        # Nothing is called delivered that was not shown. What was shown and is called lost had its receipt on the way.
        assert {source for source, delivery in got.items() if delivery.delivered} <= set(shown)
        assert len(set(shown) & lost.keys()) <= 4


@pytest.mark.long
async def test_a_stream_moves_to_another_receiver_when_its_own_is_killed(launch: Launch, small: bytes) -> None:
    """All its pictures go to one; the other one needs a whole picture first."""
    receivers = [launch("receiver") for _ in range(2)]
    channel = launch("channel", target=",".join(receiver.address for receiver in receivers), snr_db=20)
    transmitter = launch("transmitter", target=channel.address)

    async def kill() -> None:
        held = ["panolink_stream_states 1.0" in await metrics(receiver) for receiver in receivers]
        assert sorted(held) == [False, True]
        receivers[held.index(True)].stop(signal.SIGKILL)

    got = await send_and(kill, transmitter.address, small, stream="camera")
    assert all(delivery.delivered for delivery in got.values()), got
    last = got[f"p{COUNT - 1}"].stream
    assert last and last.reference


@pytest.mark.long
async def test_one_of_three_receivers_is_killed_under_load_and_nothing_is_lost(launch: Launch, small: bytes) -> None:
    receivers = [launch("receiver", watch_policy="block") for _ in range(3)]
    channel = launch("channel", target=",".join(receiver.address for receiver in receivers), snr_db=20)
    transmitter = launch("transmitter", target=channel.address)

    async def kill() -> None:
        receivers[0].stop(signal.SIGKILL)

    async with watcher(receivers[0]) as first, watcher(receivers[1]) as second, watcher(receivers[2]) as third:
        got = await send_and(kill, transmitter.address, small)
        assert all(delivery.delivered for delivery in got.values()), got
        assert all(len(shown) >= COUNT // 4 for shown in (second, third))
        assert first
        # No receiver shows a panorama twice, and those that live share none: only what the dead one had under way
        # is shown by another one as well.
        assert max(Counter(first).values()) == max(Counter(second + third).values()) == 1
        assert set(first + second + third) == set(got)
        assert len(set(first) & set(second + third)) <= 4
    text = await metrics(channel)
    assert 'panolink_replicas{state="known"} 3.0' in text
    assert 'panolink_replicas{state="connected"} 2.0' in text
