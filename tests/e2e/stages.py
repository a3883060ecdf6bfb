"""Services that stand still while a panorama is at a stage of its way, for `test_stages`.

The stage is not left to chance: what holds a panorama there is a decoding process that stands still, a hop between
channel and receiver that keeps its burst or its receipt, or a viewer that has read no more than its header. Where
nothing can hold it (while networks run), the service is stopped first and it is then seen whether that was in time; the
next panorama is tried where it was not.
"""

import asyncio
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from panolink.client import Client
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.rpc.wire.deliveries import Delivery
from panolink.v1 import link_pb2, receiver_pb2, receiver_pb2_grpc
from tests.e2e.faulty_hop import hop
from tests.e2e.test_kill import PATIENCE, metrics

Launch = Callable[..., Any]

TRIES = 12
"""Panoramas of which one has to be met while networks run."""
MISSED_AFTER = 0.5
"""Seconds in which what had left a service before it was stopped has come by."""
STAGES = {
    "accepted": ["transmitter"],
    "encoding": ["transmitter"],
    "on the channel": ["transmitter", "channel"],
    "decoding": ["receiver"],
    "its receipt under way": ["transmitter", "channel", "receiver"],
    "delivering to a viewer": ["receiver"],
}
"""Services that a panorama is in the hands of, by stage."""
EVERYWHERE = [(stage, victim) for stage, victims in STAGES.items() for victim in victims]
IMPATIENCE = 0.5
"""Seconds for which hops wait for a service that stays away."""


class Gate:
    """What a hop does with the bursts of one panorama: it holds its first burst, or that one's receipt, until told.

    Bursts of the panoramas that are sent after it wait until the stage has been met.

    Parameters
    ----------
    holds : `burst`, `receipt` or empty.
    """

    def __init__(self, holds: str) -> None:
        self._holds = holds
        self.name = ""
        self.burst_came, self.receipt_came, self.passed_on, self.met = (asyncio.Event() for _ in range(4))

    def expect(self, name: str) -> None:
        """The panorama that it is about from now on."""
        self.name = name
        for event in (self.burst_came, self.receipt_came, self.passed_on, self.met):
            event.clear()

    async def carry(self, burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
        if burst.header.source != self.name:
            await self.met.wait()
            return await send(burst)
        self.burst_came.set()
        if self._holds == "burst":
            await self.met.wait()
        self.passed_on.set()
        receipt = await send(burst)
        self.receipt_came.set()
        if self._holds == "receipt":
            await self.met.wait()
        return receipt


class Viewer:
    """Watches a receiver; reads no more than the header of one panorama until told.

    Attributes
    ----------
    shown : names of the panoramas that have come as a whole.
    """

    def __init__(self, holds: bool) -> None:
        self._holds, self.name = holds, ""
        self.shown: list[str] = []
        self.header_came, self.subscribed, self.met = (asyncio.Event() for _ in range(3))

    async def watch(self, address: str) -> None:
        async with open_channel(address) as channel:
            call = receiver_pb2_grpc.ReceiverStub(channel).Watch(
                iter([receiver_pb2.WatchRequest(picture_format=link_pb2.PICTURE_FORMAT_RGB8)])
            )
            with suppress(grpc.aio.AioRpcError):  # the receiver was killed
                await call.initial_metadata()
                self.subscribed.set()
                name, missing = "", 0
                async for message in call:
                    if message.HasField("header"):
                        name, missing = message.header.source, message.header.picture_bytes
                        if self._holds and name == self.name:
                            self.header_came.set()
                            await self.met.wait()
                        continue
                    missing -= len(message.picture)
                    if missing == 0:
                        self.shown.append(name)


class Services:
    """Transmitter, channel, hop, receiver; and for a second sender a transmitter with that receiver and another one.

    Parameters
    ----------
    launch : starts a process.
    patience : seconds for which the first transmitter and the channel wait for the next hop.
    """

    def __init__(self, launch: Launch, patience: float = PATIENCE) -> None:
        self.hop = f"127.0.0.1:{free_port()}"
        self._launch, self._patience = launch, patience
        self.running: dict[str, Any] = {}
        with ThreadPoolExecutor() as at_once:
            first = [at_once.submit(self.start, name) for name in ("receiver", "channel")]
            self.second_receiver = launch("receiver", watch_policy="block")
            for started in first:
                started.result()
            started = at_once.submit(self.start, "transmitter")
            targets = f"{self.running['receiver'].address},{self.second_receiver.address}"
            self.second_transmitter = launch("transmitter", target=targets, reconnect_seconds=PATIENCE)
            started.result()

    def start(self, name: str) -> None:
        """Start a service, where it was if it has been there."""
        listen = {"listen": self.running[name].address} if name in self.running else {}
        settings: dict[str, dict[str, Any]] = {
            "receiver": {"watch_policy": "block"},
            "channel": {"target": self.hop, "snr_db": 20, "reconnect_seconds": self._patience},
            "transmitter": {"reconnect_seconds": self._patience, "workers": 1},
        }
        if name == "transmitter":
            settings[name]["target"] = self.running["channel"].address
        self.running[name] = self._launch(name, **settings[name], **listen)

    def signal(self, name: str, number: int) -> None:
        self.running[name].process.send_signal(number)

    async def revive(self) -> None:
        """Start what has stayed away."""
        for name in [name for name, service in self.running.items() if service.process.poll() is not None]:
            await asyncio.to_thread(self.start, name)

    def end(self) -> None:
        """End all that run, the first ones first; each ends in order, whatever is away by now."""
        first = [self.second_transmitter, *(self.running[name] for name in ("transmitter", "channel", "receiver"))]
        ended = {
            service.name: service.stop() for service in [*first, self.second_receiver] if service.process.poll() is None
        }
        assert set(ended.values()) == {0}, ended


def free_port() -> int:
    """A port that no system hands out by itself, so that it stays free between two tests."""
    for port in range(20000 + os.getpid() % 10000, 32000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Decoders:
    """The decoding processes of a transmitter, which can be made to stand still."""

    def __init__(self) -> None:
        self._still: list[int] = []

    def stop(self, transmitter: Any) -> None:
        for children in Path(f"/proc/{transmitter.process.pid}/task").glob("*/children"):
            for pid in map(int, children.read_text().split()):
                os.kill(pid, signal.SIGSTOP)
                self._still.append(pid)
        assert self._still

    def go_on(self) -> None:
        while self._still:
            with suppress(ProcessLookupError):
                os.kill(self._still.pop(), signal.SIGCONT)


async def counted(service: Any, metric: str) -> float:
    """Value of a metric."""
    return next(float(line.split()[-1]) for line in (await metrics(service)).splitlines() if line.startswith(metric))


async def until(service: Any, metric: str, above: float) -> None:
    async with asyncio.timeout(PATIENCE):
        while await counted(service, metric) <= above:
            await asyncio.sleep(0.01)


async def comes(event: asyncio.Event) -> bool:
    """Whether it comes although the service stands still."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), MISSED_AFTER)
    return event.is_set()


async def meet(stage: str, services: Services, victim: str, gate: Gate, viewer: Viewer, encoded: float) -> bool:
    """Wait until a panorama is at a stage, and stop a service there; whether it was in time.

    `encoded` is the number of batches that the transmitter had encoded before.
    """
    transmitter = services.running["transmitter"]
    async with asyncio.timeout(PATIENCE):
        if stage == "accepted":
            await until(transmitter, "panolink_in_flight ", 0)
        elif stage == "encoding":
            await until(transmitter, 'panolink_batch_size_count{stage="encode"}', encoded)
        elif stage == "on the channel":
            await gate.burst_came.wait()
        elif stage == "decoding":
            await gate.passed_on.wait()
            await until(services.running["receiver"], "panolink_in_flight ", 0)
        elif stage == "its receipt under way":
            await gate.receipt_came.wait()
        else:
            await viewer.header_came.wait()
    services.signal(victim, signal.SIGSTOP)
    late = {"accepted": gate.burst_came, "encoding": gate.burst_came, "decoding": gate.receipt_came}.get(stage)
    return late is None or not await comes(late)


@asynccontextmanager
async def watching(viewer: Viewer, receiver: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(viewer.watch(receiver.address))
    async with asyncio.timeout(PATIENCE):
        await viewer.subscribed.wait()
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def send(client: Client, panoramas: list[tuple[str, bytes]]) -> list[Delivery]:
    return [delivery async for delivery in client.send(panoramas, picture=False)]


@dataclass
class Scene:
    """A service that stands still while a panorama is at a stage, and a second sender beside it.

    Attributes
    ----------
    names, second_names : panoramas of both senders.
    got : deliveries of the first one so far.
    sending : the others.
    """

    services: Services
    gate: Gate
    viewer: Viewer
    second_viewer: Viewer
    decoders: Decoders
    second_client: Client
    names: list[str]
    second_names: list[str]
    got: list[Delivery]
    sending: asyncio.Task[list[Delivery]]

    def second_sender(self, image: bytes) -> AsyncIterator[Delivery]:
        return self.second_client.send([(name, image) for name in self.second_names], picture=False)

    def go_on(self) -> None:
        """Let go of all that was held."""
        self.decoders.go_on()
        self.gate.met.set()
        self.viewer.met.set()

    @property
    def shown(self) -> Counter[str]:
        return Counter(self.viewer.shown + self.second_viewer.shown)

    async def all_shown(self, names: set[str]) -> None:
        """Wait until viewers have seen so many."""
        async with asyncio.timeout(PATIENCE):
            while not names <= self.shown.keys():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def met(
    stage: str,
    victim: str,
    services: Services,
    decoders: Decoders,
    small: bytes,
    large: bytes,
    *,
    patience: float = PATIENCE,
) -> AsyncIterator[Scene]:
    """A scene at a stage; hops and the first sender wait for `patience` seconds for a service that is away."""
    gate = Gate({"on the channel": "burst", "its receipt under way": "receipt"}.get(stage, ""))
    viewer, second_viewer = Viewer(stage == "delivering to a viewer"), Viewer(False)
    receiver, transmitter = services.running["receiver"], services.running["transmitter"]
    async with (
        hop(receiver.address, gate.carry, listen=services.hop, reconnect_timeout=patience),
        Client(transmitter.address, reconnect_timeout=patience) as client,
        Client(services.second_transmitter.address, reconnect_timeout=PATIENCE) as second_client,
        AsyncExitStack() as watched,
    ):
        gate.met.set()
        async with asyncio.timeout(PATIENCE):  # until all have found one another again
            while not all(delivery.delivered for delivery in await send(client, [("again", small)])):
                await asyncio.sleep(0.1)
        await watched.enter_async_context(watching(viewer, receiver))
        await watched.enter_async_context(watching(second_viewer, services.second_receiver))
        got, names = await send(client, [("before", small)]), ["before"]
        for attempt in range(TRIES):
            sent = [(f"met {attempt}", large), (f"next {attempt}", small), (f"last {attempt}", small)]
            names += [name for name, _ in sent]
            gate.expect(sent[0][0])
            viewer.name = sent[0][0]
            if stage == "accepted":
                decoders.stop(transmitter)
            encoded = await counted(transmitter, 'panolink_batch_size_count{stage="encode"}')
            sending = asyncio.create_task(send(client, sent))
            if await meet(stage, services, victim, gate, viewer, encoded):
                break
            services.signal(victim, signal.SIGCONT)
            decoders.go_on()
            gate.met.set()
            got += await sending
        else:
            pytest.fail(f"none of {TRIES} panoramas was met while {stage}")
        second_names = [f"second {number}" for number in range(3)]
        yield Scene(services, gate, viewer, second_viewer, decoders, second_client, names, second_names, got, sending)
