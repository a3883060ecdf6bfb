"""Metrics over HTTP, on a port that strangers may reach: few connections, and none for long."""

from __future__ import annotations

import contextlib
import socket
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import make_wsgi_app

MAX_CONNECTIONS = 16
"""At most so many at a time: one more ends the oldest, so that connections held open lock nobody out."""

CONNECTION_SECONDS = 10.0
"""A request and its answer take no longer, however slowly their bytes come and go."""


class MetricsServer:
    """Serves a registry in the text format of Prometheus, or OpenMetrics, on a thread of its own.

    Parameters
    ----------
    host, port
        To listen on; port 0 finds a free one.

    Raises
    ------
    OSError
        The address cannot be had.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        kind = _Server6 if ":" in host else _Server
        self._server = kind((host.strip("[]"), port), _Handler)
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening and end all connections."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # of socketserver's 5, a burst of connections would wait seconds for their second SYN

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Timer] = {}  # in order of arrival
        super().__init__(address, handler)  # calls server_close() if the port is taken

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                _end(next(iter(self._open)))
                self._forget(next(iter(self._open)))
            timer = threading.Timer(CONNECTION_SECONDS, _end, [request])
            timer.daemon = True
            self._open[request] = timer
            timer.start()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._forget(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            for request in list(self._open):
                _end(request)
                self._forget(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of single connections, such as resets."""

    def _forget(self, request: socket.socket) -> None:
        if timer := self._open.pop(request, None):
            timer.cancel()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line for each scrape would drown the others."""

    def address_string(self) -> str:
        return str(self.client_address[0])  # no name service is asked


def _end(request: socket.socket) -> None:
    """Wake whoever reads from or writes to a connection."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)
