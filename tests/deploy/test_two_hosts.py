"""Transmitter and receiver in projects of their own, at an address of this machine, under mutual TLS with a token."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from typer.testing import CliRunner

from panolink.cli.app import app
from panolink.client import Client
from panolink.errors import PanolinkError
from panolink.rpc.security.credentials import Credentials
from tests.deploy.stack import Stack, eventually, free_ports

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3000)]

SECURED = ("compose.tls.yaml", "compose.token.yaml")
USER = 10001
"""Who has to read the keys in the containers."""


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `panolink certs` makes, as docs/deploy.md has it, and a token."""
    folder = tmp_path_factory.mktemp("certs")
    made = CliRunner().invoke(app, ["certs", "--out", str(folder)])
    assert made.exit_code == 0, made.output
    (folder / "token").write_text(secrets.token_hex(32))
    (folder / "token").chmod(0o600)
    for secret in (*folder.glob("*.key"), folder / "token"):
        if os.geteuid() == 0:
            os.chown(secret, USER, USER)
        else:
            secret.chmod(0o644)
    return folder


@pytest.fixture(scope="module")
def hosts(engine: Any, settings: dict[str, object], certs: Path) -> Iterator[tuple[Stack, Stack]]:
    """The sending and the receiving project."""
    shared = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
    common = settings | {"CERTS": certs}
    receiving = Stack(
        engine,
        "panolink-test-receiving",
        common | {"PUBLISH": shared},
        ("docker-compose.yml", "compose.receiver-host.yaml", *SECURED),
    )
    sending = Stack(
        engine,
        "panolink-test-sending",
        common | free_ports() | {"RECEIVER_HOST": shared},
        ("docker-compose.yml", "compose.transmitter-host.yaml", *SECURED),
    )
    watching = ("prometheus",) if settings["PROMETHEUS_TAG"] else ()
    try:
        receiving.up()
        sending.up("transmitter", *watching)
        yield sending, receiving
    finally:
        sending.down()
        receiving.down()


def client_files(certs: Path) -> dict[str, Path]:
    return {"ca": certs / "ca.crt", "cert": certs / "client.crt", "key": certs / "client.key"}


async def test_a_panorama_goes_from_one_to_the_other(
    hosts: tuple[Stack, Stack], certs: Path, samples: list[Path]
) -> None:
    sending, receiving = hosts
    ours = Credentials(**client_files(certs), token_file=certs / "token")
    async with Client(f"127.0.0.1:{sending.settings['TRANSMITTER_PORT']}", credentials=ours) as client:
        (delivery,) = [delivery async for delivery in client.send([samples[0]])]
    assert delivery.delivered, delivery
    assert eventually(lambda: receiving.run("receiver", "ls", "/var/lib/panolink"))


async def test_strangers_are_turned_away(hosts: tuple[Stack, Stack], certs: Path) -> None:
    address = f"127.0.0.1:{hosts[0].settings['TRANSMITTER_PORT']}"
    for stranger in (Credentials(), Credentials(ca=certs / "ca.crt"), Credentials(**client_files(certs))):
        with pytest.raises(PanolinkError):
            async with Client(address, credentials=stranger, connect_timeout=5) as client:
                await client.info()


def test_prometheus_reaches_the_other_host(hosts: tuple[Stack, Stack]) -> None:
    if not hosts[0].settings["PROMETHEUS_TAG"]:
        pytest.skip("no image of Prometheus can be had on this machine")
    assert eventually(lambda: hosts[0].query('up{job="panolink-receiver"} == 1'))


def test_nothing_listens_in_the_clear_unless_told_to(engine: Any, settings: dict[str, object]) -> None:
    with pytest.raises(docker.errors.ContainerError) as ended:
        engine.containers.run(f"panolink-channel:{settings['IMAGE_TAG']}", remove=True)
    assert ended.value.exit_status == 2
    said = str(ended.value)
    assert "PANOLINK_CHANNEL_LISTEN=0.0.0.0:50052: other hosts would reach it in the clear" in said
