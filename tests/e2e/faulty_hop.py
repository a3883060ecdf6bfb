"""Hops between a transmitter or channel and a receiver, in the test's own process: one that does wrong to bursts, and
what any such hop is made of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np

from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.server.server import Server
from panolink.rpc.server.settings import ServiceSettings
from panolink.rpc.transport.carry import LinkEndpoint, link_client
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.v1 import link_pb2, link_pb2_grpc

Fault = Callable[[Burst, Callable[[Burst], Awaitable[Receipt]]], Awaitable[Receipt]]
"""Takes a burst and what sends one on; the receipt that goes back."""


async def passed(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
    return await send(burst)


async def duplicated(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
    """Twice at once, and once more when all is over; the answer is the last one."""
    await asyncio.gather(send(burst), send(burst))
    return await send(burst)


async def delayed(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
    """So late that many others come before it."""
    await asyncio.sleep(0.7)
    return await send(burst)


async def dropped(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
    """Never answered."""
    await asyncio.sleep(3600)
    raise AssertionError


async def truncated(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
    """Half of its symbols."""
    return await send(Burst(burst.header, burst.csi, burst.symbols[: len(burst.symbols) // 2]))


async def corrupted(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
    """Other symbols than were sent."""
    noise = np.random.default_rng(1).normal(size=(len(burst.symbols), 2)).astype(np.float32).view(np.complex64)[:, 0]
    return await send(Burst(burst.header, burst.csi, noise))


async def poisoned(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
    """Symbols that are no numbers."""
    return await send(Burst(burst.header, burst.csi, np.full_like(burst.symbols, np.nan)))


async def mixed_up(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
    """Segments in another order than they were sent."""
    header = link_pb2.BurstHeader()
    header.CopyFrom(burst.header)
    del header.segments[:]
    header.segments.extend(reversed(burst.header.segments))
    return await send(Burst(header, burst.csi, burst.symbols))


FAULTS: tuple[Fault, ...] = (
    passed,
    duplicated,
    delayed,
    dropped,
    passed,
    truncated,
    corrupted,
    poisoned,
    mixed_up,
    duplicated,
    delayed,
    passed,
)


@asynccontextmanager
async def faulty_hop(target: str, met: dict[str, str]) -> AsyncIterator[str]:
    """Its address; `met` is filled with what befell each source."""

    async def befall(burst: Burst, send: Callable[[Burst], Awaitable[Receipt]]) -> Receipt:
        fault = FAULTS[len(met) % len(FAULTS)]
        met[burst.header.source] = fault.__name__
        return await fault(burst, send)

    async with hop(target, befall) as address:
        yield address


@asynccontextmanager
async def hop(
    target: str, carry: Fault, *, listen: str = "127.0.0.1:0", reconnect_timeout: float = 5
) -> AsyncIterator[str]:
    """The address of a hop that does with each burst what `carry` does.

    Parameters
    ----------
    target : of the receiver.
    carry : takes a burst, and what sends one on.
    listen : its own address.
    reconnect_timeout : seconds for which it waits for a receiver that is away.
    """
    settings = ServiceSettings(
        listen=listen, metrics_listen="off", max_in_flight=16, drain_seconds=0, credentials=Credentials()
    )
    metrics = ServiceMetrics()
    server = Server("hop", settings, metrics)
    receivers = Replicas(target, settings.credentials, reconnect_timeout=reconnect_timeout)

    class Handler:
        """Of one stream; each burst goes on over one of several streams of its own."""

        def __init__(self) -> None:
            self._clients = [link_client(receivers, timeout=60, limits=Limits(), metrics=metrics) for _ in range(3)]
            self._turn = 0

        def check(self, header: link_pb2.BurstHeader) -> None: ...

        async def accept(self, burst: Burst) -> Awaitable[Receipt]:
            return carry(burst, self._send)

        async def _send(self, burst: Burst) -> Receipt:
            self._turn += 1
            client = self._clients[self._turn % len(self._clients)]
            return await (await client.send(burst.header.burst_id, burst))

        async def close(self) -> None:
            await asyncio.gather(*(client.close() for client in self._clients))

    link = LinkEndpoint(Handler, limits=Limits(), streams=server.streams("link"), in_flight=16)
    server.add(link_pb2_grpc.add_LinkServicer_to_server, link, "panolink.v1.Link")
    async with server:
        yield server.address
    await receivers.close()
