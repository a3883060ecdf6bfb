"""The compose files fit together in every combination that docs/deploy.md has: `docker compose config` takes them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.stack import SERVICES, Stack

ROOT = Path(__file__).parents[2]
MAIN = "docker-compose.yml"
BASES = {
    "one host": ((MAIN,), {}),
    "receiver's host": ((MAIN, "compose.receiver-host.yaml"), {"PUBLISH": "10.0.0.7", "RECEIVER_PORT": 6000}),
    "sender's host": ((MAIN, "compose.transmitter-host.yaml"), {"RECEIVER_HOST": "10.0.0.7"}),
}
ADDED = [
    (),
    ("compose.gpu.yaml",),
    ("compose.tls.yaml",),
    ("compose.tls.yaml", "compose.token.yaml"),
    ("compose.gpu.yaml", "compose.tls.yaml", "compose.token.yaml"),
]


@pytest.fixture(scope="module", autouse=True)
def _compose() -> None:
    """The command alone: no engine is asked."""
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("no `docker compose` here (version 2.24 or newer): the compose files are not tried out")


def config(where: str, added: tuple[str, ...], **more: str) -> dict:
    """What a combination amounts to, by service."""
    files, settings = BASES[where]
    stack = Stack(None, "panolink-test-files", {**settings, **more}, (*files, *added))
    stack.compose("config", "--quiet")
    return json.loads(stack.compose("config", "--format", "json"))["services"]


@pytest.mark.slow
@pytest.mark.parametrize("added", ADDED, ids="+".join)
@pytest.mark.parametrize("where", BASES)
def test_they_fit_together(where: str, added: tuple[str, ...]) -> None:
    services = config(where, added)
    ours = {name: services[name] for name in SERVICES if name in services}
    expected = {"one host": set(SERVICES), "receiver's host": {"receiver"}, "sender's host": {"transmitter"}}[where]
    assert ours.keys() == expected
    for name, service in ours.items():
        variables = service["environment"]
        secrets = {secret["target"].rpartition("/")[2] for secret in service.get("secrets", ())}
        secured, token = "compose.tls.yaml" in added, "compose.token.yaml" in added
        assert bool(variables["PANOLINK_INSECURE"]) == (not secured and where != "receiver's host")
        assert secrets == ({"tls_ca", "tls_cert", "tls_key"} if secured else set()) | ({"token"} if token else set())
        files = {"tls_ca": "TLS_CA", "tls_cert": "TLS_CERT", "tls_key": "TLS_KEY", "token": "TOKEN_FILE"}
        for secret in secrets:
            assert variables[f"PANOLINK_{files[secret]}"] == f"/run/secrets/{secret}"
        with_gpu = "compose.gpu.yaml" in added and name != "channel"
        assert service["image"].endswith("-gpu") == with_gpu == ("deploy" in service)
        assert service["build"]["args"]["TORCH"] == ("cuda" if with_gpu else "cpu")


@pytest.mark.slow
def test_the_viewer_asks_no_channel_that_is_not_there() -> None:
    channels = {
        where: config(where, ())["viewer"]["environment"]["PANOLINK_VIEWER_CHANNEL"]
        for where in ("one host", "sender's host")
    }
    assert channels == {"one host": "channel:50052", "sender's host": "off"}


def test_a_sending_host_reaches_a_receiver_at_another_port() -> None:
    there = "receiver:6000"
    services = config("sender's host", (), TRANSMITTER_TARGET=there, VIEWER_RECEIVER=there)
    assert services["transmitter"]["environment"]["PANOLINK_TRANSMITTER_TARGET"] == there
    assert services["viewer"]["environment"]["PANOLINK_VIEWER_RECEIVER"] == there


def test_the_receivers_port_is_published_where_it_is_said() -> None:
    ports = config("receiver's host", ())["receiver"]["ports"]
    assert {(port["host_ip"], port["published"], port["target"]) for port in ports} == {
        ("10.0.0.7", "6000", 50053),
        ("10.0.0.7", "9103", 9103),
    }
