"""A real Prometheus over real services, and what is asked of it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
CONFIG = PROMETHEUS / "prometheus.yml"


def tool(name: str) -> str:
    """The path of `prometheus` or `promtool`; skips where there is none."""
    found = shutil.which(name)
    if not found:
        pytest.skip(f"no {name} here (Debian's package `prometheus` has it): deploy/prometheus is not tried out")
    return found


def rules(file: str) -> list[dict[str, Any]]:
    """The rules of `recording.yml` or `alerts.yml`."""
    groups = yaml.safe_load((PROMETHEUS / "rules" / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def quick(targets: Mapping[str, str]) -> dict[str, Any]:
    """Our configuration with its jobs at other addresses, and in a hurry."""
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / pattern) for pattern in config["rule_files"]]
    config["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [targets[job["job_name"]]]}]}
        for job in config["scrape_configs"]
        if job["job_name"] in targets
    ]
    return config


class Prometheus:
    """A running Prometheus."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **query: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now."""
        return self.get("query", query=expression)["result"]

    def wait_for(self, expression: str, *, seconds: float = 60) -> list[dict[str, Any]]:
        """The series of an expression, as soon as it has any."""
        until = time.monotonic() + seconds
        while not (series := self.query(expression)):
            assert time.monotonic() < until, f"no data for {expression} within {seconds:g} s"
            time.sleep(0.25)
        return series


@contextmanager
def running(folder: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `targets` (by job) every second."""
    binary = tool("prometheus")
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(quick(targets)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield _ready(Prometheus(address), process, folder / "prometheus.log")
        finally:
            process.terminate()
            process.wait(30)


def _ready(prometheus: Prometheus, process: subprocess.Popen[bytes], log: Path) -> Prometheus:
    until = time.monotonic() + 60
    while True:
        try:
            prometheus.query("vector(1)")
            return prometheus
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
