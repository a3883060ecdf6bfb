"""What the viewer listens with: connections that are bounded before TLS, and certificates that are renewed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from panolink.errors import LinkError
from panolink.rpc.addresses import split_address
from panolink.rpc.security.credentials import Credentials, Material

log = logging.getLogger(__name__)


class ListeningSocket(socket.socket):
    """Closes what is beyond `limit` connections as it is accepted: before its TLS handshake nobody else knows of it."""

    limit = 256

    def accept(self) -> tuple[socket.socket, Any]:
        """As of a socket; `ConnectionAbortedError` for what is closed."""
        connection, address = super().accept()
        self._accepted = [one for one in getattr(self, "_accepted", ()) if one.fileno() >= 0]
        if len(self._accepted) >= self.limit:
            connection.close()
            raise ConnectionAbortedError
        self._accepted.append(connection)
        return connection, address


def listen(address: str, *, limit: int) -> ListeningSocket:
    """A socket that listens at `host:port`.

    Parameters
    ----------
    limit
        Maximum number of connections, those whose handshake is not over among them.

    Raises
    ------
    LinkError
        The port is in use, or the address is not one of this machine.
    """
    host, port = split_address(address)
    listening = ListeningSocket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.limit = limit
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise LinkError(f"cannot listen on {address}: in use, or not an address of this machine") from None
    listening.setblocking(False)
    return listening


def tls_context(credentials: Credentials) -> ssl.SSLContext | None:
    """TLS with the services' certificate, read again when its files change; None: in the clear.

    With an authority and without a token, browsers show a certificate too.
    """
    if not credentials.secure_server:
        return None
    used = credentials.material
    first = latest = _context(credentials, used)

    def renew(connection: Any, _name: str | None, _first: ssl.SSLContext) -> None:
        """Called with every handshake."""
        nonlocal used, latest
        if (material := credentials.material) is not used:
            try:
                used, latest = material, _context(credentials, material)
            except OSError as error:  # replaced just now: the next handshake tries again
                log.error("certificate not renewed: %s", error)
        if latest is not first:
            connection.context = latest

    first.sni_callback = renew
    return first


def _context(credentials: Credentials, material: Material) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    credentials.load_into(context)
    if material.authorities and material.token is None:
        context.load_verify_locations(cadata=material.authorities.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class WebServer(uvicorn.Server):
    """Uvicorn with a bound on TLS handshakes, which leaves signals to others.

    Parameters
    ----------
    config
        Of the server.
    handshake_seconds
        Time that a handshake may take.
    """

    def __init__(self, config: uvicorn.Config, *, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which has no setting for handshakes; asyncio's bound would be a minute."""
        await self.lifespan.startup()
        config = self.config

        def protocol() -> asyncio.Protocol:
            made: Any = config.http_protocol_class
            return made(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        timeout = self._handshake_seconds if config.ssl else None
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                protocol, sock=one, ssl=config.ssl, ssl_handshake_timeout=timeout, backlog=config.backlog
            )
            for one in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `panolink.rpc.server.server.run`."""
        yield
