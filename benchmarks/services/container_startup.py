"""How long containers take: from `docker compose up` to the first panorama, and after SIGKILL to one; image sizes.

    docker compose build
    python benchmarks/services/container_startup.py

Brings up a project of its own (transmitter, channel, receiver, Prometheus) on other ports, and takes it down again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import time
from pathlib import Path

from panolink.cli.health import status_of
from panolink.cli.process_group import Ports
from panolink.client import Client
from panolink.errors import PanolinkError

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "forest.webp"
PROJECT = "panolink-benchmark"
SERVICES = ("transmitter", "channel", "receiver")


def docker(*arguments: str) -> str:
    """The output of a docker command; its errors go to the terminal."""
    ports = {f"{name.upper()}_PORT": str(port) for name, port in vars(PORTS).items() if port}
    environment = {"PROMETHEUS_PORT": "0", **os.environ, **ports}
    command = ["docker", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def compose(*arguments: str) -> str:
    return docker("compose", "--progress", "quiet", "-p", PROJECT, *arguments)


async def serving(address: str) -> float:
    """When, by the monotonic clock, a service serves."""
    while (await status_of(address, 1))[0] != "SERVING":
        await asyncio.sleep(0.1)
    return time.monotonic()


async def delivered(patience: float = 120) -> float:
    """When, by the monotonic clock, the transmitter has had a panorama delivered."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            async with Client(f"127.0.0.1:{PORTS.transmitter}", connect_timeout=1, reconnect_timeout=0) as client:
                async for delivery in client.send([SAMPLE], picture=False):
                    if delivery.delivered:
                        return time.monotonic()
        except PanolinkError:  # nobody there, or only the engine, which closes what it cannot pass on
            pass
        await asyncio.sleep(0.1)
    raise SystemExit(f"no panorama was delivered within {patience:g} s")


def crash(service: str) -> None:
    """SIGKILL to a service's process, as the kernel would; the engine starts it again."""
    container = compose("ps", "--quiet", service).strip()
    pid, image = docker("inspect", "--format", "{{.State.Pid}} {{.Image}}", container).split()
    docker("run", "--rm", "--pid=host", image, "python", "-c", f"import os; os.kill({pid}, 9)")


async def measure() -> dict[str, float]:
    """Seconds of everything, and megabytes of images."""
    figures: dict[str, float] = {}
    start = time.monotonic()
    compose("up", "--detach", "--wait", "--no-build", *SERVICES, "prometheus")
    figures["up_seconds"] = time.monotonic() - start
    figures["first_panorama_seconds"] = await delivered() - start
    for service in SERVICES:
        # Counted from before the container that kills it: coming back takes about a second less.
        start = time.monotonic()
        await asyncio.to_thread(crash, service)
        back = await serving(f"127.0.0.1:{getattr(PORTS, service)}")
        figures[f"{service}_back_seconds"] = back - start
        figures[f"{service}_then_panorama_seconds"] = await delivered() - back
        image = compose("images", "--quiet", service).strip()
        figures[f"{service}_image_mb"] = int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    given = parser.parse_args()
    PORTS = Ports.free()
    try:
        found = {name: round(value, 2) for name, value in asyncio.run(measure()).items()}
    finally:
        compose("down", "--volumes")
    print(json.dumps(found, indent=2))
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")
