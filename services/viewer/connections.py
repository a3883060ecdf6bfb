"""Connections that hold a place without using it are closed; the web server itself closes only some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

LOOK_SECONDS = 0.2
"""from one look at all connections to the next"""

KEEP_ALIVE_SECONDS = 10.0
"""without a request, after a connection's first one"""

CROWDED_SHARE = 7 / 8
"""of the connections that are allowed, from which on those that ask nothing make room at once"""

CROWDED_SECONDS = 0.5


@dataclass
class _Seen:
    """What was seen of a connection: since when it asks nothing and takes nothing, and what waits to be taken."""

    asks_nothing_since: float
    takes_nothing_since: float
    requests: int = 0
    cycle: Any = None
    waiting: int = 0


class ConnectionGuard:
    """Closes connections without a request, and those whose peers take nothing of what they are sent.

    Without it, peers that send nothing, or half a request, hold all places for as long as they like, and so do those
    that stop reading: what waits for them keeps a connection open that has been closed already.

    Parameters
    ----------
    connections : Collection[Any]
        The web server's, as they come and go: each has a `transport`, those of HTTP a `cycle` of a request.
    limit : int
        Connections that are allowed.
    first_seconds : float
        For a connection's first request.
    unread_seconds : float
        In which some of what waits for a peer has to be taken.
    clock : Callable[[], float]
        Seconds; monotonic.
    """

    def __init__(
        self,
        connections: Collection[Any],
        *,
        limit: int,
        first_seconds: float,
        unread_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._connections, self._limit = connections, limit
        self._first_seconds, self._unread_seconds = first_seconds, unread_seconds
        self._clock = clock
        self._seen: dict[Any, _Seen] = {}

    async def run(self) -> None:
        """Look at all connections, again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Look at all connections once."""
        now, before = self._clock(), self._seen
        self._seen = {one: before.get(one) or _Seen(now, now) for one in self._connections}
        crowded = len(self._seen) >= CROWDED_SHARE * self._limit
        for one, seen in self._seen.items():
            if self._asks_nothing_for(one, seen, now, crowded) or self._takes_nothing(one, seen, now):
                one.transport.abort()

    def _asks_nothing_for(self, one: Any, seen: _Seen, now: float, crowded: bool) -> bool:
        if not hasattr(one, "cycle"):  # a WebSocket, which the application looks after
            return False
        if one.cycle is not seen.cycle:
            seen.cycle, seen.asks_nothing_since = one.cycle, now
            seen.requests += 1
        if one.cycle is not None and not one.cycle.response_complete:
            seen.asks_nothing_since = now
        allowed = KEEP_ALIVE_SECONDS if seen.requests else self._first_seconds
        return now - seen.asks_nothing_since > (min(allowed, CROWDED_SECONDS) if crowded else allowed)

    def _takes_nothing(self, one: Any, seen: _Seen, now: float) -> bool:
        waiting = one.transport.get_write_buffer_size()
        if not waiting or waiting < seen.waiting:
            seen.takes_nothing_since = now
        seen.waiting = waiting
        return now - seen.takes_nothing_since > self._unread_seconds
