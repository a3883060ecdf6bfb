"""Running `panolink`, and reading what it says."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.testing import Result

from panolink.cli.process_group import Ports

PANOLINK = (sys.executable, "-m", "panolink.cli")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def one_line(result: Result) -> str:
    """The one line on standard error of a command that failed, with nothing on standard output."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("panolink: ")
    return line


def objects(text: str) -> list[dict[str, Any]]:
    """One JSON object a line, and nothing else."""
    return [json.loads(line) for line in text.splitlines()]


def port_options(ports: Ports) -> list[str]:
    return [
        *("--transmitter-port", str(ports.transmitter)),
        *("--channel-port", str(ports.channel)),
        *("--receiver-port", str(ports.receiver)),
        *("--metrics-port", "0"),
    ]


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`panolink up --json`, ready; the process and what it said. It is stopped in the end, whatever happens."""
    command = [*PANOLINK, "up", "--json", *port_options(Ports.free()), *options]
    up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        assert up.stdout
        line = up.stdout.readline()
        assert line, up.communicate()[1]
        yield up, json.loads(line)
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGTERM)
        up.communicate(timeout=60)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
