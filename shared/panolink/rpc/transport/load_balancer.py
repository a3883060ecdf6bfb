"""Client-side load balancing over the replicas behind a target.

    127.0.0.1:50053                    one address
    10.0.0.5:50053,10.0.0.6:50053      several addresses
    dns:///receiver:50053              every address of a name, resolved periodically

Carry streams are long-lived, so gRPC's round-robin policy, which picks a replica per call, would send a whole stream
to one replica. Here every replica has its own channel and streams, and a replica is picked per item.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import grpc.aio
from prometheus_client import Gauge

from panolink.errors import SettingError
from panolink.rpc.addresses import split_address
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.pushback import Pushback
from panolink.v1 import link_pb2

Thing = TypeVar("Thing")
Resolve = Callable[[str], Awaitable[Sequence[str]]]

log = logging.getLogger(__name__)

DNS = "dns:///"
RESOLVE_SECONDS = 5.0
"""Maximum age in seconds of resolved addresses; older ones are resolved again on the next send."""
_MIN_BACKOFF, _MAX_BACKOFF = 0.1, 1.0  # backoff in seconds of a replica that breaks every stream
_JITTER = 0.25  # share of what a replica asks for by which one waits longer at most
GRACE_SECONDS = 120.0
"""Seconds that items in flight may take on a replica whose address was removed: it is draining, not dead."""


class Replica:
    """One address and its channel."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self.channel = channel
        self._breaks = self._refusals = 0
        self._backoff_until = 0.0

    @property
    def connected(self) -> bool:
        """Whether the channel is connected."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    @property
    def reachable(self) -> bool:
        """Whether its channel does not fail. An idle one starts to connect."""
        return self.channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.TRANSIENT_FAILURE

    @property
    def backing_off(self) -> bool:
        """Whether to open no stream to it yet."""
        return time.monotonic() < self._backoff_until

    def answered(self) -> None:
        """Reset the backoff after an answer."""
        self._breaks = self._refusals = 0

    def broke(self) -> None:
        """Record a broken stream: the first is retried at once, further ones with exponential backoff."""
        self._breaks += 1
        if self._breaks > 1:
            self._backoff_until = time.monotonic() + min(_MIN_BACKOFF * 2 ** (self._breaks - 2), _MAX_BACKOFF)

    def refused(self, seconds: float) -> None:
        """Record that there is no room for another stream for so long; not all who are told so come back at once.

        Whatever it says, the next refusal is asked for no sooner than a broken stream is opened again: each costs an
        item that is sent for nothing.
        """
        self._refusals += 1
        least = min(_MIN_BACKOFF * 2 ** min(self._refusals - 1, 10), _MAX_BACKOFF)
        self._backoff_until = time.monotonic() + max(seconds, least) * random.uniform(1.0, 1 + _JITTER)


class Replicas:
    """The replicas behind a target; must be created in a running event loop.

    Parameters
    ----------
    target
        One of the forms above.
    credentials
        TLS files and token; None: from the environment (`PANOLINK_TLS_…`).
    reconnect_timeout
        Seconds without any answer, counted from the first broken or refused stream, until `unreachable`.
    resolve
        Resolves the `host:port` of a `dns:///` target to a list of `host:port`.

    Attributes
    ----------
    last_failure : Failure or None
        Why no replica could be reached at the last attempt; None after an answer.

    Raises
    ------
    SettingError
        No address after `dns:///`, or credentials that do not suit the target.
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
        if target.startswith(DNS):  # other forms are validated by gRPC
            try:
                split_address(self._name)
            except ValueError as error:
                raise SettingError(f"{target}: {error}") from None
        self._credentials = credentials or Credentials.from_environment()
        for address in target.split(","):  # fail now, not when an address is added later
            self._credentials.client(address)
        self._reconnect_timeout = reconnect_timeout
        self._resolve = resolve or resolve_addresses
        self._replicas: dict[str, Replica] = {}
        self._unanswered_since: float | None = None
        self.last_failure: link_pb2.Failure | None = None
        self._resolved_at = -float("inf")
        self._resolving: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        if not self._name:
            self._set_addresses(target.split(","))

    def __contains__(self, replica: Replica) -> bool:
        return self._replicas.get(replica.address) is replica

    def __len__(self) -> int:
        return len(self._replicas)

    @property
    def connected(self) -> int:
        """Number of connected replicas."""
        return sum(one.connected for one in list(self._replicas.values()))  # metrics ask on a thread of theirs

    @property
    def unreachable(self) -> bool:
        """Whether no replica has answered for `reconnect_timeout` seconds."""
        return (
            self._unanswered_since is not None and time.monotonic() - self._unanswered_since >= self._reconnect_timeout
        )

    async def candidates(
        self, item_id: str, *, has_stream: Callable[[Replica], bool] = lambda replica: False
    ) -> list[Replica]:
        """Replicas that may take an item, in the order in which to try them; empty if none may.

        One to which there is a stream (`has_stream`) may, even if it has refused another stream or broken it: streams
        are of sessions, replicas of all of them.

        The order depends on the item's id and the addresses alone: consecutive items go round robin, and an item that
        is resent, even after a restart, reaches the replica that may have received it before.
        """
        await self._refresh()
        order = [self._replicas[address] for address in round_robin(item_id, sorted(self._replicas))]
        reachable = [one for one in order if one.reachable and (has_stream(one) or not one.backing_off)]
        if not reachable:
            self._start_timeout()
        return reachable

    def measure(self, gauge: Gauge) -> None:
        """Export the number of replicas to a gauge with the label `state`."""
        gauge.labels("known").set_function(lambda: len(self))
        gauge.labels("connected").set_function(lambda: self.connected)

    def answered(self, replica: Replica) -> None:
        """Record an answer of a replica."""
        self._unanswered_since = None
        self.last_failure = None
        replica.answered()

    def broke(self, replica: Replica) -> None:
        """Record a stream of a replica that broke with items pending; resolves the name again."""
        self._start_timeout()
        self._resolved_at = -float("inf")
        replica.broke()

    def refused(self, replica: Replica, pushback: Pushback) -> None:
        """Record that a replica has no room for another stream; others are tried meanwhile."""
        self._start_timeout()
        replica.refused(pushback.seconds)

    def _start_timeout(self) -> None:
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()

    async def close(self) -> None:
        """Close all channels and their streams."""
        if self._resolving:
            self._resolving.cancel()
        for task in self._leaving:
            task.cancel()
        for replica in self._replicas.values():
            await replica.channel.close(None)

    async def _refresh(self) -> None:
        """Resolve the name in the background if the addresses are old; wait only if there are none at all."""
        if not self._name:
            return
        if self._resolving is None and time.monotonic() - self._resolved_at > RESOLVE_SECONDS:
            self._resolving = asyncio.create_task(self._resolve_name())
        if self._resolving and not self._replicas:
            await asyncio.shield(self._resolving)

    async def _resolve_name(self) -> None:
        try:
            addresses = await self._resolve(self._name)
        except OSError as error:
            log.warning("%s: %s; going on with %d addresses", self.target, error.strerror or error, len(self))
        else:
            self._set_addresses(addresses)
        finally:
            self._resolved_at = time.monotonic()
            self._resolving = None

    def _set_addresses(self, addresses: Sequence[str]) -> None:
        """Replace the addresses; streams to removed ones may drain."""
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
    """Yield all things in an order determined by an item's id.

    The first choices of items `name-1`, `name-2` … go round robin, and so do the second choices of those with the
    same first one: the load of a failed replica is spread over all others.
    """
    name, _, count = item_id.rpartition("-")
    number = zlib.crc32(name.encode()) + int(count) if count.isdecimal() else zlib.crc32(item_id.encode())
    left = list(things)
    while left:
        number, index = divmod(number, len(left))
        yield left.pop(index)


async def resolve_addresses(name: str) -> list[str]:
    """Resolve a name to all its addresses.

    Parameters
    ----------
    name : str
        `host:port`.

    Returns
    -------
    list of str

    Raises
    ------
    OSError
        There are none.
    """
    host, _, port = name.rpartition(":")
    loop = asyncio.get_running_loop()
    found: list[Any] = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    return [
        f"[{address[0]}]:{port}" if family is socket.AF_INET6 else f"{address[0]}:{port}"
        for family, *_, address in found
    ]
