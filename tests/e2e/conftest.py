"""Real service processes on loopback."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@dataclass
class Service:
    """A running service process: where it listens, and how to end it."""

    name: str
    process: subprocess.Popen[str]
    address: str
    metrics: str

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture(scope="session")
def model() -> str:
    """The shipped model."""
    return "base"


@pytest.fixture(scope="module")
def small(samples: list[Path]) -> bytes:
    """A photograph, made small: what is tested is the book-keeping."""
    buffer = io.BytesIO()
    Image.open(samples[0]).convert("RGB").resize((256, 128)).save(buffer, "PNG")
    return buffer.getvalue()


def command(name: str) -> list[str]:
    return [sys.executable, "-m", f"services.{name}"]


def environment(name: str, **settings: Any) -> dict[str, str]:
    """The process environment with a service's settings, and without any that happen to be set.

    Settings that are the same for all services are given by their full names, `PANOLINK_…`.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PANOLINK_")}
    paths = [str(ROOT / "shared"), str(ROOT)]
    prefix = f"PANOLINK_{name.upper()}_"
    given = {
        key if key.startswith("PANOLINK_") else prefix + key.upper(): str(value) for key, value in settings.items()
    }
    return clean | given | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def launch(model: str) -> Iterator[Callable[..., Service]]:
    """`launch("channel", target=…)` starts a process and waits until it says that it is ready.

    `log` is a file for what it logs.
    """
    running: list[Service] = []

    def start(name: str, log: Path | None = None, **settings: Any) -> Service:
        values = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", "log_level": "warning"} | settings
        if name != "channel":
            values = {"models": model, "device": "cpu"} | values
        with log.open("w") if log else nullcontext() as errors:
            process = subprocess.Popen(
                command(name),
                cwd=ROOT,
                env=environment(name, **values),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout
        line = process.stdout.readline()
        assert line, f"the {name} ended with status {process.wait(10)} before it was ready"
        ready = json.loads(line)
        assert ready["ready"] == name
        running.append(Service(name, process, ready["listen"], ready["metrics"]))
        return running[-1]

    yield start
    for service in running:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait(10)


@pytest.fixture
def start_service(model: str) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """`start_service("receiver")` starts a process and waits for nothing."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        settings = {"listen": "127.0.0.1:0", "metrics_listen": "off", "models": model, "device": "cpu"}
        started.append(subprocess.Popen(command(name), cwd=ROOT, env=environment(name, **settings), text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


@pytest.fixture
def run_service() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_service("channel", SNR_DB="loud")` runs a process that is to end by itself."""

    def run(name: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        values = {"listen": "127.0.0.1:0", "metrics_listen": "off", "log_level": "error"}
        values |= settings
        return subprocess.run(
            command(name),
            cwd=ROOT,
            env=environment(name, **values),
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
