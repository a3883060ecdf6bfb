"""Who may stand behind a target: one address, several, or all that a name has; and whose turn it is.

    127.0.0.1:50053                    one
    10.0.0.5:50053,10.0.0.6:50053      several
    dns:///receiver:50053              every address of that name, asked for again and again

A Carry stream lives long, so gRPC's own round robin, which chooses once for each call, would leave a whole stream with
one replica. Here every replica has a connection and streams of its own, and each burst goes to one of them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import grpc.aio
from prometheus_client import Gauge

from panolink.errors import SettingError
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.server.settings import split_address
from panolink.rpc.transport.connection import open_channel

Thing = TypeVar("Thing")
Resolve = Callable[[str], Awaitable[Sequence[str]]]

log = logging.getLogger(__name__)

DNS = "dns:///"
RESOLVE_SECONDS = 5.0
"""A name's addresses are asked for again when the last answer is older and something is to be sent."""
_FIRST_REST, _LONGEST_REST = 0.1, 1.0  # seconds for which a replica is left alone that breaks every stream
GRACE_SECONDS = 120.0
"""What is under way on a replica whose address is gone may take so long: it is shutting down, not dead."""


class Replica:
    """One address, and the connection to it."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self.channel = channel
        self._breaks = 0
        self._rests_until = 0.0

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    @property
    def reachable(self) -> bool:
        """Whether it is worth trying; a connection that is idle is begun."""
        away = grpc.ChannelConnectivity.TRANSIENT_FAILURE
        return self.channel.get_state(try_to_connect=True) is not away and time.monotonic() >= self._rests_until

    def answered(self) -> None:
        """It is there."""
        self._breaks = 0

    def broke(self) -> None:
        """A stream to it broke. It is tried again at once; if that breaks too, it rests for longer and longer."""
        self._breaks += 1
        if self._breaks > 1:
            self._rests_until = time.monotonic() + min(_FIRST_REST * 2 ** (self._breaks - 2), _LONGEST_REST)


class Replicas:
    """The replicas behind a target.

    Args:
        target: as above.
        credentials: those of the environment (`PANOLINK_TLS_…`) where None.
        patience: seconds from the first stream that breaks, without any answer since, until they are `lost`.
        resolve: the addresses of a `dns:///` target's `host:port`, as `host:port` each.

    Must be made in a running event loop.

    Raises:
        SettingError: no address after `dns:///`, or credentials that do not suit the target.
    """

    def __init__(
        self,
        target: str,
        credentials: Credentials | None = None,
        *,
        reconnect_timeout: float,
        resolve: Resolve | None = None,
    ) -> None:
        self.target = target
        self._name = target.removeprefix(DNS) if target.startswith(DNS) else ""
        if target.startswith(DNS):  # others are gRPC's to understand
            try:
                split_address(self._name)
            except ValueError as error:
                raise SettingError(f"{target}: {error}") from None
        self._credentials = credentials or Credentials.from_environment()
        for address in target.split(","):  # now, and not when an address joins later
            self._credentials.client(address)
        self._reconnect_timeout = reconnect_timeout
        self._resolve = resolve or resolve_addresses
        self._replicas: dict[str, Replica] = {}
        self._away_since: float | None = None
        self.last_error = ""
        """Why nobody could be reached when that was last tried; empty once somebody has answered."""
        self._resolved_at = -float("inf")
        self._resolving: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        if not self._name:
            self._take(target.split(","))

    def __contains__(self, replica: Replica) -> bool:
        return self._replicas.get(replica.address) is replica

    def __len__(self) -> int:
        return len(self._replicas)

    @property
    def connected(self) -> int:
        """Replicas with a standing connection."""
        return sum(replica.connected for replica in self._replicas.values())

    @property
    def lost(self) -> bool:
        """Whether nobody has answered for as long as patience lasts."""
        return self._away_since is not None and time.monotonic() - self._away_since >= self._reconnect_timeout

    async def candidates(self, item_id: str) -> list[Replica]:
        """The replicas that an item may be sent to, the one whose turn it is first; none while none is reachable.

        The order follows from the item's id and the addresses alone. So consecutive items go round, and an item that is
        sent again, by a hop that has been restarted, say, meets the replica that may have had it before.
        """
        await self._refresh()
        order = [self._replicas[address] for address in round_robin(item_id, sorted(self._replicas))]
        reachable = [replica for replica in order if replica.reachable]
        if not reachable:
            self._away()
        return reachable

    def measure(self, gauge: Gauge) -> None:
        """Let a gauge with the label `state` tell how many replicas there are."""
        gauge.labels("known").set_function(lambda: len(self))
        gauge.labels("connected").set_function(lambda: self.connected)

    def answered(self, replica: Replica) -> None:
        """An answer has come."""
        self._away_since = None
        self.last_error = ""
        replica.answered()

    def broke(self, replica: Replica) -> None:
        """A stream broke with items under way: is the address still good?"""
        self._away()
        self._resolved_at = -float("inf")
        replica.broke()

    def _away(self) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()

    async def close(self) -> None:
        """Close all connections, and with them every stream."""
        if self._resolving:
            self._resolving.cancel()
        for task in self._leaving:
            task.cancel()
        for replica in self._replicas.values():
            await replica.channel.close(None)

    async def _refresh(self) -> None:
        """Ask for the name's addresses if the last answer is old; nobody waits for it but who has no address at all."""
        if not self._name:
            return
        if self._resolving is None and time.monotonic() - self._resolved_at > RESOLVE_SECONDS:
            self._resolving = asyncio.create_task(self._look_up())
        if self._resolving and not self._replicas:
            await asyncio.shield(self._resolving)

    async def _look_up(self) -> None:
        try:
            addresses = await self._resolve(self._name)
        except OSError as error:
            log.warning("%s: %s; going on with %d addresses", self.target, error.strerror or error, len(self))
        else:
            self._take(addresses)
        finally:
            self._resolved_at = time.monotonic()
            self._resolving = None

    def _take(self, addresses: Sequence[str]) -> None:
        """These are the addresses from now on; streams to those that are not may end by themselves."""
        for address in self._replicas.keys() - set(addresses):
            log.info("%s: %s has left", self.target, address)
            leaving = asyncio.create_task(self._replicas.pop(address).channel.close(GRACE_SECONDS))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        for address in set(addresses) - self._replicas.keys():
            if self._name:
                log.info("%s: %s has joined", self.target, address)
            self._replicas[address] = Replica(address, open_channel(address, self._credentials, authority=self._name))


def round_robin(item_id: str, things: Sequence[Thing]) -> Iterator[Thing]:
    """All things in an order of the item's own.

    Items `name-1`, `name-2` … go round by their first choice, and those that have the same one by their second: what a
    replica leaves behind is spread over all others.
    """
    name, _, count = item_id.rpartition("-")
    number = zlib.crc32(name.encode()) + int(count) if count.isdecimal() else zlib.crc32(item_id.encode())
    left = list(things)
    while left:
        number, index = divmod(number, len(left))
        yield left.pop(index)


async def resolve_addresses(name: str) -> list[str]:
    """All addresses of `host:port`; `OSError` where there are none."""
    host, _, port = name.rpartition(":")
    loop = asyncio.get_running_loop()
    found: list[Any] = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    return [
        f"[{address[0]}]:{port}" if family is socket.AF_INET6 else f"{address[0]}:{port}"
        for family, *_, address in found
    ]
