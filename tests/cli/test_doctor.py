"""What `doctor` finds, and what it says to do."""

import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from panolink.cli import doctor
from panolink.cli.doctor import Finding, _carefully, _packages, _ports, _settings
from panolink.errors import PanolinkError
from panolink.rpc.server.server import Server
from tests.cli.helpers import objects

Run = Callable[..., Result]


def test_all_that_is_here(panolink: Run):
    result = panolink("doctor", "--no-self-test", "--json")
    found = objects(result.stdout)
    assert all(list(one) == ["check", "ok", "detail", "fix"] for one in found)
    checks = {one["check"]: one for one in found}
    names = ("panolink", "python", "cpu", "memory", "gpu", "packages", "extra formats", "video", "settings", "models")
    assert set(names) <= checks.keys()
    assert "base" in checks["models"]["detail"] and "torch" in checks["packages"]["detail"]
    assert all(one["fix"] for one in found if one["ok"] is False)
    assert result.exit_code == any(one["ok"] is False for one in found)
    for_people = panolink("doctor", "--no-self-test").stdout
    assert "✓ python: 3." in for_people


@pytest.mark.slow
def test_the_self_test_sends_a_panorama(panolink: Run):
    (found,) = [one for one in objects(panolink("doctor", "--json").stdout) if one["check"] == "self-test"]
    assert found["ok"] is True and "dB VPSNR" in found["detail"]


@pytest.mark.slow
def test_ports(monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, free = other.getsockname()[1], free_port()
        monkeypatch.setattr(doctor, "_PORTS", {taken: "receiver", free: "channel"})
        ports, foreign = _ports()
    assert ports == Finding("ports", True, f"{free} are free")
    assert (foreign.check, foreign.ok, foreign.detail) == (f"port {taken}", False, "another program listens here")
    assert "--receiver-port" in foreign.fix


async def test_ports_where_our_services_serve(start: Callable[..., Awaitable[Server]], monkeypatch: pytest.MonkeyPatch):
    import asyncio

    receiver = await start("receiver")
    port = int(receiver.address.rpartition(":")[2])
    monkeypatch.setattr(doctor, "_PORTS", {port: "receiver"})
    (found,) = await asyncio.to_thread(lambda: list(_ports()))
    assert found == Finding(f"port {port}", True, "a receiver of Panolink serves here")


def test_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PANOLINK_LOGFORMAT", "json")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    found = {one.check: one for one in _settings()}
    assert found["settings"].ok is False and "did you mean PANOLINK_LOG_FORMAT?" in found["settings"].fix
    assert "http_proxy" in found["proxy"].detail
    monkeypatch.setenv("PANOLINK_TLS_CA", str(tmp_path / "absent.crt"))
    (broken,) = _carefully(_settings)
    assert broken.ok is False and "absent.crt" in broken.detail


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_PACKAGES", ("numpy", "panolink-does-not-need-this"))
    (found,) = _packages()
    assert (found.ok, found.fix) == (False, "pip install panolink-does-not-need-this")


@pytest.mark.parametrize("error, detail", [(PanolinkError("no"), "no"), (RuntimeError("a\nb"), "RuntimeError: a")])
def test_a_check_that_fails_itself_is_a_finding(error: Exception, detail: str):
    def _broken_thing() -> Iterator[Finding]:
        yield Finding("first", True, "fine")
        raise error

    first, broken = _carefully(_broken_thing)
    assert first.ok and (broken.check, broken.ok, broken.detail) == ("broken thing", False, detail)


def test_debug_shows_where_a_check_fails(monkeypatch: pytest.MonkeyPatch):
    def _broken_thing() -> Iterator[Finding]:
        yield Finding("first", True, "fine")
        raise RuntimeError("broken")

    monkeypatch.setenv("PANOLINK_DEBUG", "1")
    with pytest.raises(RuntimeError, match="broken"):
        list(_carefully(_broken_thing))


def test_crosses_end_with_1(panolink: Run, monkeypatch: pytest.MonkeyPatch):
    def never(port: int) -> bool:
        return False

    async def nobody(ports: list[int]) -> dict[int, str]:
        return dict.fromkeys(ports, "")

    monkeypatch.setattr(doctor, "_is_free", never)
    monkeypatch.setattr(doctor, "_who_answers", nobody)
    result = panolink("doctor", "--no-self-test")
    assert result.exit_code == 1 and "✗ port 50051" in result.stdout and "takes another one" in result.stdout
    told: list[Any] = [json.loads(line) for line in panolink("doctor", "--no-self-test", "--json").stdout.splitlines()]
    assert any(one["ok"] is False for one in told)
