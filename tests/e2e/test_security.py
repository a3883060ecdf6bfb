"""Three processes under mutual TLS with a token: a real panorama passes, and whoever may not is told why."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from panolink.client import Client
from panolink.images import load_panorama
from panolink.metrics.viewport import vpsnr
from panolink.rpc.security.credentials import Credentials
from tests import certificates

pytestmark = pytest.mark.slow

Service = Any
Launch = Callable[..., Service]
Commands = Callable[..., subprocess.CompletedProcess[str]]
NAMES = ("transmitter", "channel", "receiver", "viewer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates for everybody, an expired one, and a token; and beside them the certificates of a stranger."""
    folder = certificates.make(tmp_path_factory.mktemp("ours"), *NAMES)
    certificates.make_expired(folder, "expired")
    certificates.make(folder / "stranger", "viewer")
    (folder / "token").write_text("the-token-of-these-tests\n")
    (folder / "wrong").write_text("the-token-of-other-tests\n")
    return folder


@pytest.fixture(scope="module")
def link(launch: Launch, folder: Path) -> dict[str, Service]:
    """The three services, each with a certificate of its own."""

    def start(name: str, **settings: Any) -> Service:
        return launch(name, PANOLINK_TOKEN_FILE=folder / "token", **certificates.variables(folder, name), **settings)

    receiver = start("receiver")
    channel = start("channel", target=receiver.address, model="rayleigh", snr_db=20, seed=2)
    return {"receiver": receiver, "channel": channel, "transmitter": start("transmitter", target=channel.address)}


@pytest.fixture
def viewer(folder: Path) -> dict[str, str]:
    """What a person may show who is let in."""
    return {**certificates.variables(folder, "viewer"), "PANOLINK_TOKEN_FILE": str(folder / "token")}


@pytest.fixture(scope="module")
def panolink() -> Commands:
    """Run a command as a process with these variables and no other PANOLINK_ ones."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PANOLINK_")}

    def run(variables: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "panolink.cli", *map(str, arguments)],
            env={**clean, **variables, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.mark.long
async def test_a_panorama_passes_and_a_viewer_sees_it(
    link: dict[str, Service], folder: Path, samples: list[Path]
) -> None:
    files = {"cert": folder / "viewer.crt", "key": folder / "viewer.key", "token_file": folder / "token"}
    shown = Credentials(ca=folder / "ca.crt", **files)
    async with (
        Client(link["transmitter"].address, credentials=shown) as sender,
        Client(link["receiver"].address, credentials=shown) as watcher,
    ):
        watching = asyncio.create_task(anext(watcher.watch()))
        while not watching.done():  # the first may come before the viewer does
            (delivery,) = [delivery async for delivery in sender.send([samples[0]], bpp=0.1)]
            assert delivery.delivered, delivery
        assert vpsnr(load_panorama(samples[0]), delivery.picture) > 24
        assert load_panorama((await watching).png).shape == delivery.picture.shape


def test_every_command_speaks_tls(
    panolink: Commands, link: dict[str, Service], viewer: dict[str, str], samples: list[Path], tmp_path: Path
) -> None:
    transmitter, channel = link["transmitter"].address, link["channel"].address
    done = panolink(viewer, "send", samples[1], "--to", transmitter, "--bpp", "0.1", "--json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["delivered"] and result["vpsnr_db"] > 22
    assert [path.suffix for path in tmp_path.iterdir()] == [".png"]
    done = panolink(viewer, "channel", channel, "--snr", "15", "--json")
    assert json.loads(done.stdout)["snr_db"] == 15
    done = panolink(viewer, "info", *(service.address for service in link.values()), "--json")
    assert [json.loads(line)["service"] for line in done.stdout.splitlines()] == list(link)
    # Health needs no token, for whoever restarts a service that does not answer cannot show one.
    done = panolink(viewer | {"PANOLINK_TOKEN_FILE": ""}, "health", *(service.address for service in link.values()))
    assert done.returncode == 0 and done.stdout.count("SERVING") == 3
    done = panolink({}, "health", transmitter, channel, "--json")
    assert done.returncode == 1
    assert ["it wants TLS" in json.loads(line)["error"]["message"] for line in done.stdout.splitlines()] == [True, True]


REFUSED = {
    "another authority": (
        {"PANOLINK_TLS_CA": "stranger/ca.crt"},
        1,
        "its certificate is not signed by an authority in PANOLINK_TLS_CA",
    ),
    "a certificate of another authority": (
        {"PANOLINK_TLS_CERT": "stranger/viewer.crt", "PANOLINK_TLS_KEY": "stranger/viewer.key"},
        1,
        "it closed the connection at once: it wants TLS (PANOLINK_TLS_CA), or a valid certificate that its",
    ),
    "an expired certificate": (
        {"PANOLINK_TLS_CERT": "expired.crt", "PANOLINK_TLS_KEY": "expired.key"},
        2,
        "expired.crt: expired on 20",
    ),
    "no certificate": ({"PANOLINK_TLS_CERT": "", "PANOLINK_TLS_KEY": ""}, 1, "a valid certificate that its authority"),
    "a key that does not fit": ({"PANOLINK_TLS_KEY": "channel.key"}, 2, "does not fit the certificate in"),
    "no token": ({"PANOLINK_TOKEN_FILE": ""}, 1, "no token was shown (PANOLINK_TOKEN_FILE)"),
    "the wrong token": ({"PANOLINK_TOKEN_FILE": "wrong"}, 1, "the token shown is not the right one"),
    "in the clear": (
        {"PANOLINK_TLS_CA": "", "PANOLINK_TLS_CERT": "", "PANOLINK_TLS_KEY": ""},
        1,
        "it wants TLS (PANOLINK_TLS_CA)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_may_not_is_told_why_in_one_line(
    panolink: Commands, link: dict[str, Service], viewer: dict[str, str], folder: Path, samples: list[Path], case: str
) -> None:
    changed, status, said = REFUSED[case]
    variables = viewer | {name: str(folder / file) if file else "" for name, file in changed.items()}
    done = panolink(variables, "send", samples[0], "--to", link["transmitter"].address)
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("panolink: ") and said in line


HOPS = {
    "a certificate of another authority": ("stranger/viewer", "token", "UNAVAILABLE", "a valid certificate that its"),
    "the wrong token": ("transmitter", "wrong", "UNAUTHENTICATED", "the token shown is not the right one"),
}


@pytest.mark.parametrize("case", HOPS)
async def test_a_hop_that_is_turned_away_says_so_to_the_sender(
    launch: Launch, link: dict[str, Service], folder: Path, samples: list[Path], case: str
) -> None:
    """The transmitter is in order for those who send to it, and not for the channel."""
    name, token, code, said = HOPS[case]
    files = {"PANOLINK_TLS_CERT": folder / f"{name}.crt", "PANOLINK_TLS_KEY": folder / f"{name}.key"}
    variables = certificates.variables(folder) | files | {"PANOLINK_TOKEN_FILE": folder / token}
    transmitter = launch("transmitter", target=link["channel"].address, reconnect_seconds=0.5, **variables)
    authorities = folder / "both.crt"
    authorities.write_bytes((folder / "ca.crt").read_bytes() + (folder / "stranger" / "ca.crt").read_bytes())
    files = {"cert": folder / "viewer.crt", "key": folder / "viewer.key", "token_file": folder / token}
    async with Client(transmitter.address, credentials=Credentials(ca=authorities, **files)) as sender:
        for _ in range(2):  # and says it again to the next one
            (delivery,) = [delivery async for delivery in sender.send([samples[0]], bpp=0.1)]
            assert (delivery.code, delivery.delivered) == (code, False)
            assert f"next hop {link['channel'].address}: " in delivery.error and said in delivery.error
    transmitter.stop()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PANOLINK_TLS_CERT": "absent.crt"}, "PANOLINK_TLS_CERT={}/absent.crt: no such file or directory"),
        ({"PANOLINK_TLS_KEY": "token"}, "PANOLINK_TLS_KEY={}/token: not a private key in PEM format"),
        ({"PANOLINK_TLS_KEY": "viewer.key"}, "PANOLINK_TLS_KEY={}/viewer.key: does not fit the certificate in"),
        (
            {"PANOLINK_TLS_CERT": "expired.crt", "PANOLINK_TLS_KEY": "expired.key"},
            "PANOLINK_TLS_CERT={}/expired.crt: expired on 20",
        ),
        (
            {"PANOLINK_TLS_CERT": "", "PANOLINK_TLS_KEY": ""},
            "PANOLINK_TLS_CA={}/ca.crt: a service needs PANOLINK_TLS_CERT and PANOLINK_TLS_KEY as well",
        ),
        (
            {"PANOLINK_TLS_CA": "", "PANOLINK_TLS_CERT": "", "PANOLINK_TLS_KEY": "", "listen": "0.0.0.0:0"},
            "PANOLINK_CHANNEL_LISTEN=0.0.0.0:0: other hosts would reach it in the clear; set PANOLINK_TLS_CERT",
        ),
        (
            {name: "" for name in ("PANOLINK_TLS_CA", "PANOLINK_TLS_CERT", "PANOLINK_TLS_KEY")}
            | {"PANOLINK_TOKEN_FILE": "token", "target": "receiver.example:50053"},
            "PANOLINK_TOKEN_FILE={}/token: not sent to receiver.example:50053 in the clear; set PANOLINK_TLS_CA",
        ),
    ],
)
def test_a_service_that_cannot_be_secured_does_not_start(
    run_service: Commands, folder: Path, changed: dict[str, str], said: str
) -> None:
    files = {name: str(folder / file) if file else "" for name, file in changed.items() if name.isupper()}
    others = {name: value for name, value in changed.items() if name.islower()}
    ended = run_service("channel", **certificates.variables(folder, "channel") | files, **others)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(said.format(folder))
