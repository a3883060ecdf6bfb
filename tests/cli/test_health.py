"""`health`, asked of a real service."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from typer.testing import Result

from panolink.cli.health import listening
from tests.cli.helpers import ENVIRONMENT, objects, one_line

Panolink = Callable[..., Result]


@pytest.fixture(scope="module")
def channel() -> Iterator[str]:
    """Where a channel listens."""
    settings = {"PANOLINK_CHANNEL_LISTEN": "127.0.0.1:0", "PANOLINK_CHANNEL_METRICS_LISTEN": "off"}
    command = [sys.executable, "-m", "panolink.services.channel"]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT | settings)
    try:
        assert service.stdout
        yield json.loads(service.stdout.readline())["listen"]
    finally:
        service.terminate()
        service.wait(30)


@pytest.mark.slow
def test_a_service_that_serves(panolink: Panolink, channel: str) -> None:
    result = panolink("health", channel)
    assert (result.exit_code, result.stdout.strip()) == (0, f"{channel}: SERVING")


def test_one_that_does_not_answer_fails_the_whole(panolink: Panolink, channel: str, free_port: Callable) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    result = panolink("health", "--json", channel, nowhere)
    assert result.exit_code == 1
    assert [(said["address"], said["status"]) for said in objects(result.stdout)] == [
        (channel, "SERVING"),
        (nowhere, "UNREACHABLE"),
    ]
    fine, failed = objects(result.stdout)
    assert list(fine) == list(failed) and fine["error"] is None
    assert failed["error"]["code"] == "UNAVAILABLE" and nowhere in failed["error"]["message"]
    assert nowhere in one_line(panolink("health", nowhere))


def test_the_environment_of_a_service_tells_whom_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, address in {"TRANSMITTER": "[::]:4711", "CHANNEL": "0.0.0.0:4712", "RECEIVER": "10.0.0.1:4713"}.items():
        monkeypatch.setenv(f"PANOLINK_{name}_LISTEN", address)
    assert listening() == ["[::1]:4711", "127.0.0.1:4712", "10.0.0.1:4713"]


def test_nobody_to_ask(panolink: Panolink, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRANSMITTER", "CHANNEL", "RECEIVER"):
        monkeypatch.delenv(f"PANOLINK_{name}_LISTEN", raising=False)
    assert panolink("health").exit_code == 2


@pytest.mark.slow
def test_it_imports_no_networks() -> None:
    """Container engines run it every few seconds."""
    code = "import sys, panolink.cli.app, panolink.rpc.transport.connection; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numba", "scipy", "numpy"} & set(imported)
