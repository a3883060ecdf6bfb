"""Connections that nobody uses make room, and those that are used stay."""

import asyncio
from http.client import HTTPException
from types import SimpleNamespace
from typing import Any

import pytest

from panolink.services.viewer.connections import KEEP_ALIVE_SECONDS, ConnectionGuard
from panolink.services.viewer.server import ViewerServer
from tests.services.viewer.browser import ask
from tests.services.viewer.conftest import StartViewer


class Watched:
    """A guard over made-up connections, and its clock."""

    def __init__(self, limit: int = 100) -> None:
        self.now, self.connections = 0.0, set[Any]()
        self.guard = ConnectionGuard(
            self.connections, limit=limit, first_seconds=2, unread_seconds=30, clock=lambda: self.now
        )

    def connection(self, **protocol: Any) -> Any:
        transport = SimpleNamespace(waiting=0)
        transport.get_write_buffer_size = lambda: transport.waiting
        made = _Connection(transport=transport, **protocol)
        transport.abort = lambda: self.connections.discard(made)
        self.connections.add(made)
        return made

    def wait(self, seconds: float) -> int:
        """How many connections are left after so long."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.25
            self.guard.look()
        return len(self.connections)


class _Connection(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


def test_without_a_first_request_there_are_two_seconds() -> None:
    watched = Watched()
    watched.connection(cycle=None)
    assert watched.wait(1.75) == 1
    assert watched.wait(1) == 0


def test_a_request_that_takes_long_stays_and_is_kept_alive_for_a_while() -> None:
    watched = Watched()
    request = SimpleNamespace(response_complete=False)
    connection = watched.connection(cycle=None)
    watched.wait(1)
    connection.cycle = request
    assert watched.wait(600) == 1
    request.response_complete = True
    assert watched.wait(KEEP_ALIVE_SECONDS - 1) == 1
    assert watched.wait(2) == 0


def test_where_places_become_scarce_those_who_ask_nothing_go_at_once() -> None:
    watched = Watched(limit=8)
    for _ in range(6):
        watched.connection(cycle=None)
    busy = watched.connection(cycle=SimpleNamespace(response_complete=False))
    assert watched.wait(1) == 1 and busy in watched.connections


@pytest.mark.parametrize("protocol", [{"cycle": SimpleNamespace(response_complete=False)}, {}])
def test_who_takes_nothing_loses_its_connection_and_who_is_slow_does_not(protocol: dict[str, Any]) -> None:
    watched = Watched()
    slow, deaf = watched.connection(**protocol), watched.connection(**protocol)
    slow.transport.waiting = deaf.transport.waiting = 50_000
    for _ in range(20):
        watched.wait(5)
        slow.transport.waiting -= 1000
        deaf.transport.waiting += 10  # pings
    assert watched.connections == {slow}


async def idle_connections(viewer: ViewerServer, count: int, said: bytes) -> list[asyncio.StreamWriter]:
    host, _, port = viewer.address.rpartition(":")
    writers = [(await asyncio.open_connection(host, int(port)))[1] for _ in range(count)]
    for writer in writers:
        writer.write(said)
    return writers


@pytest.mark.slow
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: local"], ids=["nothing", "half a request"])
async def test_idle_connections_lock_nobody_out(start_viewer: StartViewer, said: bytes) -> None:
    viewer = await start_viewer(max_connections=8)
    writers = await idle_connections(viewer, 12, said)
    async with asyncio.timeout(20):
        while (await _status(viewer.address)) != 200:
            await asyncio.sleep(0.05)
    for writer in writers:
        writer.close()


async def _status(address: str) -> int:
    try:
        return (await ask(address, "/api/state"))[0]
    except (ValueError, OSError, HTTPException):  # 503 with a line of text, or closed while places are scarce
        return 503
