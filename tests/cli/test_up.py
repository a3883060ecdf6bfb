"""What `up` leaves behind, and where it listens."""

import os
import signal
import subprocess
import time

from tests.cli.helpers import ENVIRONMENT, PANOLINK, alive, running


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


def test_insecure_reaches_the_services():
    with running("--host", "0.0.0.0", "--insecure") as (_, places):
        assert all(places[name]["listen"].startswith("0.0.0.0:") for name in ("transmitter", "channel", "receiver"))
