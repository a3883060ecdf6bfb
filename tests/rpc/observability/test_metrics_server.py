"""The port of the metrics is one that anybody may hold on to: it still answers, and takes no more threads for it."""

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from panolink.rpc.observability import metrics_server
from panolink.rpc.observability.metrics_server import MAX_CONNECTIONS, MetricsServer


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    made = MetricsServer("127.0.0.1", 0, registry)
    yield made
    made.close()


def scrape(server: MetricsServer, seconds: float = 1.0) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=seconds) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_it_serves_the_registry(server: MetricsServer) -> None:
    assert "things_total 3.0" in scrape(server)


@pytest.mark.slow
def test_half_open_connections_take_no_threads_and_lock_nobody_out(server: MetricsServer) -> None:
    before, held = threading.active_count(), []
    try:
        for _ in range(300):
            held.append(socket.create_connection(("127.0.0.1", server.port)))
        assert "things_total 3.0" in scrape(server), "within a second"
        # A thread to read and one to end it for each of those that may be open, and the server's own.
        assert threading.active_count() - before <= 2 * MAX_CONNECTIONS + 4
    finally:
        for connection in held:
            connection.close()


@pytest.mark.slow
def test_a_request_that_trickles_is_ended(monkeypatch: pytest.MonkeyPatch, server: MetricsServer) -> None:
    monkeypatch.setattr(metrics_server, "CONNECTION_SECONDS", 0.5)
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        with pytest.raises(OSError):
            while time.monotonic() - start < 4:
                connection.sendall(b"G")  # fails once the other side has ended the connection
                time.sleep(0.05)
        assert time.monotonic() - start < 2


@pytest.mark.slow
def test_closed_it_answers_no_more(server: MetricsServer) -> None:
    held = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    server.close()
    with contextlib.suppress(ConnectionResetError):
        assert held.recv(1) == b""
    with pytest.raises(urllib.error.URLError):
        scrape(server)
