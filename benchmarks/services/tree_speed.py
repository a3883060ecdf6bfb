"""Speed of one checkout of Panolink, whichever Python finds: the codec's stages, and three services end to end.

    PYTHONPATH=CHECKOUT/shared python benchmarks/services/tree_speed.py FILE --root CHECKOUT

Prints one JSON object. It uses names that every version has, so that `benchmarks.services.throughput` can compare two.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from panolink import Client, Codec, load_panorama

IN_FLIGHT = 4
WARM_UP = 3
START_SECONDS = 120.0

REMEMBERED = 4
"""panoramas of which a codec remembers coded indices"""


def seconds_of(call: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Median seconds of a call, warm, and median seconds of CPU time that it takes on all threads."""
    call()
    taken, worked = [], []
    for _ in range(runs):
        start, cpu = time.perf_counter(), time.process_time()
        call()
        worked.append(time.process_time() - cpu)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), statistics.median(worked)


def codec_speed(file: Path, bpp: float, runs: int) -> dict[str, dict[str, float]]:
    """Seconds of each of the codec's stages, and of all of them; and what of CPU time they take, which other processes
    on the machine disturb less."""
    codec, image = Codec.load("base"), load_panorama(file)
    size = (image.shape[0], image.shape[1])
    (features,) = codec.extract([image])
    tokens = codec.quantize(features, size=size, bpp=bpp)
    packet = codec.pack(tokens)
    turned = itertools.cycle([turned_by(features, columns) for columns in range(max(runs + 1, REMEMBERED + 1))])
    found = {
        "extract": seconds_of(lambda: codec.extract([image]), runs),
        "quantize": seconds_of(lambda: codec.quantize(next(turned), size=size, bpp=bpp), runs),
        "pack": seconds_of(lambda: codec.pack(tokens), runs),
        "unpack": seconds_of(lambda: codec.unpack(packet), runs),
        "reconstruct": seconds_of(lambda: codec.reconstruct([tokens]), runs),
    }
    named = {"codec_seconds": 0, "codec_cpu_seconds": 1}
    seconds = {name: {stage: both[which] for stage, both in found.items()} for name, which in named.items()}
    return {name: stages | {"total": sum(stages.values())} for name, stages in seconds.items()}


def turned_by(features: torch.Tensor, columns: int) -> torch.Tensor:
    """Features of the panorama turned by so many tokens: another one, whose indices nobody has coded yet."""
    return features.roll(columns, dims=-1).contiguous(memory_format=torch.channels_last)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and all below it have taken (Linux)."""
    parents, taken = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(stat.parent.name)
        parents[number], taken[number] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {pid}
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(taken.get(one, 0) for one in family) / os.sysconf("SC_CLK_TCK")


@contextmanager
def link(root: Path) -> Iterator[tuple[str, int]]:
    """The three services of the checkout at ``root``; gives the transmitter's address, and the process above them."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        probes = (one, two, three)
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in probes]
    names = ("--transmitter-port", "--channel-port", "--receiver-port")
    options = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
    path = os.pathsep.join([str(root / "shared"), str(root)])
    process = subprocess.Popen(
        [sys.executable, "-m", "panolink.cli", "up", *options, *("--metrics-port", "0", "--snr", "20", "--seed", "1")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"127.0.0.1:{ports[0]}", process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


async def sent(
    target: str, pid: int, file: bytes, *, count: int, in_flight: int, bpp: float, picture: bool
) -> dict[str, Any]:
    """So many panoramas, so many of them on their way at a time: panoramas a second, CPU seconds of the services for
    each, latencies, seconds by stage."""
    started: dict[str, float] = {}
    taken: list[float] = []
    stages: list[dict[str, float]] = []

    def files() -> Iterator[bytes]:
        for number in range(count + WARM_UP):
            started[str(number + 1)] = time.perf_counter()
            yield file

    began = worked = 0.0
    async with Client(target, in_flight=in_flight, connect_timeout=START_SECONDS) as client:
        async for delivery in client.send(files(), bpp=bpp, picture=picture):
            now = time.perf_counter()
            if not delivery.delivered:
                raise SystemExit(f"{delivery.source}: {delivery.error}")
            taken.append(now - started[delivery.id])
            stages.append(dict(delivery.seconds))
            if len(taken) == WARM_UP:
                began, worked = now, cpu_seconds(pid)
    taken, stages = taken[WARM_UP:], stages[WARM_UP:]
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {
        "panoramas_per_second": count / (now - began),
        "cpu_seconds_each": (cpu_seconds(pid) - worked) / count,
        "latency_seconds": {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]},
        "stage_seconds": {name: statistics.median(one.get(name, 0.0) for one in stages) for name in stages[0]},
    }


async def service_speed(target: str, pid: int, file: bytes, bpp: float, count: int) -> dict[str, Any]:
    """Throughput with several on their way, and latency of one at a time, with and without the picture back."""
    found = {}
    for back in (False, True):
        name = "picture_back" if back else "received"
        options: dict[str, Any] = {"count": count, "bpp": bpp, "picture": back}
        found[name] = {
            "stream": await sent(target, pid, file, in_flight=IN_FLIGHT, **options),
            "alone": await sent(target, pid, file, in_flight=1, **options),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--bpp", type=float, default=0.1)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--count", type=int, default=20)
    asked = parser.parse_args()
    found: dict[str, Any] = {"threads": torch.get_num_threads()}
    found |= codec_speed(asked.file, asked.bpp, asked.runs)
    if asked.count:
        with link(asked.root.resolve()) as (target, pid):
            speed = service_speed(target, pid, asked.file.read_bytes(), asked.bpp, asked.count)
            found["services"] = asyncio.run(speed)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
