"""What `up` leaves behind, and where it listens."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable

import pytest
from typer.testing import Result
from websockets.sync.client import connect

from panolink.cli import up
from panolink.cli.process_group import Ports
from panolink.services.receiver.settings import ReceiverSettings
from tests.cli.helpers import ENVIRONMENT, PANOLINK, alive, one_line, port_options, running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.long
def test_services_end_when_up_is_killed():
    with running() as (up, places):
        services = [places[name]["pid"] for name in ("transmitter", "channel", "receiver")]
        up.kill()
        up.wait()
        deadline = time.monotonic() + 30
        while any(map(alive, services)) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = [pid for pid in services if alive(pid)]
        for pid in left:  # or a failing test would leave them behind, too
            os.kill(pid, signal.SIGKILL)
    assert not left


def test_a_public_address_needs_tls_or_a_word():
    command = [*PANOLINK, "up", "--host", "0.0.0.0", "--transmitter-port", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--host=0.0.0.0:1: other hosts would reach it in the clear" in line and "--insecure" in line


@pytest.mark.slow
def test_insecure_reaches_the_services():
    with running("--host", "0.0.0.0", "--insecure") as (_, places):
        assert all(places[name]["listen"].startswith("0.0.0.0:") for name in ("transmitter", "channel", "receiver"))


@pytest.mark.long
def test_the_viewer_has_a_killed_receiver_started_anew():
    with running("--viewer", "--viewer-port", str(free_port())) as (up, places):
        receiver = places["receiver"]["pid"]
        with connect(f"ws://{places['viewer']['listen']}/ws", max_size=None) as page:
            page.send('{"type": "kill"}')
            states: list[bool] = []
            deadline = time.monotonic() + 60
            while states[-2:] != [False, True] and time.monotonic() < deadline:
                said = page.recv(60)
                message = json.loads(said) if isinstance(said, str) else {}
                if message.get("type") == "services" and "receiver" in message["services"]:
                    serves = message["services"]["receiver"]["up"]
                    states += [serves] if states[-1:] != [serves] else []
        assert states[-2:] == [False, True]
        assert not alive(receiver) and up.poll() is None


Run = Callable[..., Result]


def test_a_realism_that_makes_no_sense_starts_nothing(panolink: Run):
    both = ["--decoder", "fidelity", "--realism", "0.5"]
    for options, why in ((["--realism", "2"], "allowed is a number from 0"), (both, "give one of the two")):
        result = panolink("up", *options)
        assert result.exit_code == 2 and why in re.sub(r"[\s│╭╮╰╯─]+", " ", result.stderr) and not result.stdout


@pytest.mark.parametrize(
    ("environment", "options", "found"),
    [
        ({"REALISM": "0.5"}, ["--decoder", "perceptual"], ("perceptual", 1.0)),
        ({"DECODER": "perceptual"}, ["--realism", "0.5"], ("", 0.5)),
        ({"DECODER": "perceptual"}, ["--decoder", "fidelity"], ("fidelity", 0.0)),
        ({"DECODER": "perceptual", "REALISM": "1"}, ["--realism", "0"], ("", 0.0)),
        ({"DECODER": "d.safetensors"}, ["--decoder", "perceptual"], ("perceptual", 1.0)),
        ({"DECODER": "d.safetensors"}, ["--realism", "0.5"], ("d.safetensors", 0.5)),
        ({"REALISM": "0.5"}, ["--decoder", "d.safetensors"], ("d.safetensors", 0.5)),
        ({"REALISM": "0.5"}, [], ("", 0.5)),
    ],
)
def test_a_decoder_of_the_command_line_wins_over_the_environments(
    panolink: Run,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    options: list[str],
    found: tuple[str, float],
):
    told: dict[str, dict[str, str]] = {}

    async def run(settings: dict[str, dict[str, str]], _: bool) -> None:
        told.update(settings)

    monkeypatch.setattr(up, "_run", run)
    for name, value in environment.items():
        monkeypatch.setenv(f"PANOLINK_RECEIVER_{name}", value)
    assert panolink("up", *port_options(Ports.free()), *options).exit_code == 0
    for name, value in told["receiver"].items():  # as the process that is started has them
        monkeypatch.setenv(name, value)
    receiver = ReceiverSettings()
    assert (receiver.decoder, receiver.realism) == found


def test_up_says_which_port_is_in_use(panolink: Run):
    ports = Ports.free()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.channel))
        taken.listen()
        line = one_line(panolink("up", *port_options(ports)))
    assert str(ports.channel) in line and "--channel-port" in line
    line = one_line(panolink("up", "--channel-port", "50051", "--metrics-port", "0"))
    assert "--transmitter-port" in line and "--channel-port" in line


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_stops_in_order(number: signal.Signals):
    with running() as (up, places):
        up.send_signal(number)
        _, log = up.communicate(timeout=60)
    assert up.returncode == 0
    drains = [line.partition(" ")[0] for line in log.splitlines() if line.endswith("drains")]
    assert drains == ["transmitter", "channel", "receiver"]
    assert not any(alive(places[name]["pid"]) for name in ("transmitter", "channel", "receiver"))


@pytest.mark.slow
def test_up_ends_when_a_child_dies():
    with running() as (up, places):
        subprocess.run(["kill", "-KILL", str(places["channel"]["pid"])], check=True)
        _, log = up.communicate(timeout=60)
    assert up.returncode == 1
    assert "panolink: channel was killed by SIGKILL" in log
    assert not any(alive(places[name]["pid"]) for name in ("transmitter", "receiver"))


@pytest.mark.slow
def test_a_service_that_cannot_start():
    command = [*PANOLINK, "up", *port_options(Ports.free()), "--model", "nope"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 1
    last = [line for line in done.stderr.splitlines() if line.startswith("panolink: ")][-1]
    assert "ended with exit code 1" in last and "unknown model 'nope'" in last
