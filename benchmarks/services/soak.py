"""Mixed streams through three real processes for as long as wanted: does anything grow?

python -m benchmarks.services.soak 60 --json soak.json

Waves of load follow one another: senders with pictures of several sizes and all kinds of rates, pictures that are none,
streams that break off, viewers that come, read slowly and go, connections that say nothing, and a channel whose
conditions change every second. Between two waves nothing is under way, and then each process is measured: resident
memory (decode processes included), threads, file descriptors, tasks of its event loop.

The exit code is 1 where memory grows by more than a MiB a minute (the slope of the line through the measurements, less
twice its standard error), where threads, descriptors or tasks become more in the second half than they were in the
first, or where a panorama has not had exactly one answer. Memory does grow at first: a receiver keeps pictures of its
last receipts, up to 64 MiB, which some 700 panoramas fill; warm-up is for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import math
import random
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from panolink.cli.process_group import Ports, Services, environments
from panolink.client import Client
from panolink.errors import LinkError

SAMPLES = Path(__file__).parents[2] / "samples"
SIZES = ((256, 128), (512, 256), (768, 384))
RATES: tuple[dict[str, Any], ...] = (
    {},
    {"bpp": 0.1},
    {"bpp": 0.6},
    {"tau": 0.0},
    {"tau": 0.5},
    {"symbols_per_pixel": 0.1},
    {"adaptive": True},
    {"adaptive": True, "deadline": 0.05, "harq": 2},
    {"analogue": True},
    {"harq": 3},
)
WEATHER: tuple[dict[str, Any], ...] = (
    {"model": "awgn", "snr_db": 20.0},
    {"model": "awgn", "snr_db": 3.0},
    {"model": "rayleigh", "snr_db": 10.0},
    {"model": "rayleigh", "snr_db": -2.0},
    {"model": "tdl-c", "snr_db": 15.0},
    {"model": "awgn", "snr_db": 12.0, "erasure_rate": 0.05, "packet_symbols": 512},
)
COUNTED = ("threads", "descriptors", "tasks")
SPARE = 2
"""So many more may there be of each: pools of threads fill as they are needed."""


@dataclass
class Tally:
    """What was sent and answered."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    shown: int = 0
    faults: list[str] = field(default_factory=list)


def pictures() -> list[bytes]:
    """Image files of all sizes, PNG and JPEG."""
    files = []
    for path in sorted(SAMPLES.glob("*.webp")):
        with Image.open(path) as image:
            for number, size in enumerate(SIZES):
                buffer = io.BytesIO()
                image.convert("RGB").resize(size).save(buffer, "JPEG" if number % 2 else "PNG")
                files.append(buffer.getvalue())
    return files


async def sender(rng: random.Random, target: str, files: Sequence[bytes], name: str, tally: Tally) -> None:
    """A stream of a few panoramas, some of which are no pictures; one in ten breaks off after its first answer."""
    breaks_off = rng.random() < 0.1
    bad = (b"no picture", rng.choice(files)[:5000], b"")
    wanted = [rng.choice(bad) if rng.random() < 0.1 else rng.choice(files) for _ in range(rng.randint(1, 6))]
    names = [f"{name}.{number}" for number in range(len(wanted))]
    answers: Counter[str] = Counter()
    options, picture = rng.choice(RATES), rng.random() < 0.5
    panoramas = zip(names, wanted, strict=True)
    async with (
        Client(target) as client,
        contextlib.aclosing(client.send(panoramas, picture=picture, **options)) as deliveries,
    ):
        async for delivery in deliveries:
            answers[delivery.source] += 1
            tally.codes[delivery.code or "OK"] += 1
            if breaks_off:
                break
    tally.sent += len(wanted)
    if not breaks_off and answers != Counter(names):
        tally.faults.append(f"{name}: sent {names}, answered {dict(answers)}")


async def viewer(rng: random.Random, target: str, tally: Tally) -> None:
    """Watches for a while, at a speed of its own."""
    pause, seen = rng.choice((0.0, 0.0, 0.3)), Counter[str]()
    async with Client(target) as client:
        async for panorama in client.watch(count=rng.randint(1, 10)):
            seen[panorama.burst_id] += 1
            tally.shown += 1
            await asyncio.sleep(pause)
    if seen and max(seen.values()) > 1:
        tally.faults.append(f"shown twice: {seen}")


async def silent(rng: random.Random, targets: Sequence[str]) -> None:
    """A connection that says nothing, or nonsense."""
    host, _, port = rng.choice(targets).rpartition(":")
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(rng.choice((b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(100))))
        await asyncio.sleep(rng.random())
        writer.close()


async def weather(rng: random.Random, target: str) -> None:
    """Changes the channel's conditions every second."""
    async with Client(target) as client:
        while True:
            await client.set_conditions(erasure_rate=0.0, packet_symbols=0)
            await client.set_conditions(**rng.choice(WEATHER))
            await asyncio.sleep(1)


@asynccontextmanager
async def in_the_background(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def wave(rng: random.Random, where: Mapping[str, Mapping[str, Any]], files: Any, name: str, tally: Tally) -> None:
    """Load for about ten seconds, until all is answered."""
    listen = {service: said["listen"] for service, said in where.items()}
    end = time.monotonic() + 10

    async def senders(number: int) -> None:
        count = 0
        while time.monotonic() < end:
            count += 1
            await sender(rng, listen["transmitter"], files, f"{name}.{number}.{count}", tally)

    async def viewers() -> None:
        while True:
            await viewer(rng, listen["receiver"], tally)

    async def strangers() -> None:
        while True:
            await silent(rng, list(listen.values()))

    async with in_the_background(viewers(), viewers(), strangers(), weather(rng, listen["channel"])):
        await asyncio.gather(*(senders(number) for number in range(3)))


def measure(said: Mapping[str, Any]) -> dict[str, float]:
    """A process at rest, and its children's memory."""
    pid = said["pid"]
    text = Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    rss = [int(values["VmRSS"].split()[0])]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            lines = Path(f"/proc/{child}/status").read_text().splitlines()
            rss.append(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")))
    with urllib.request.urlopen(f"http://{said['metrics']}/metrics", timeout=10) as response:
        exported = response.read().decode()
    tasks = next(line.split()[1] for line in exported.splitlines() if line.startswith("panolink_tasks "))
    return {
        "rss_mib": sum(rss) / 1024,
        "threads": float(values["Threads"]),
        "descriptors": float(len(list(Path(f"/proc/{pid}/fd").iterdir()))),
        "tasks": float(tasks),
    }


def slope(minutes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Slope of the least-squares line per minute, and its standard error: of two points any (infinite)."""
    x, y = np.array(minutes) - np.mean(minutes), np.array(values) - np.mean(values)
    per_minute = float(x @ y / (x @ x))
    if len(x) < 3:
        return per_minute, math.inf
    residual = y - per_minute * x
    return per_minute, float(np.sqrt(residual @ residual / (len(x) - 2) / (x @ x)))


def judge(rows: Sequence[Mapping[str, Any]], rss_mib: float = 1.0) -> tuple[dict[str, Any], list[str]]:
    """Growth of each service per minute, and what is too much of it: of memory, more than `rss_mib`."""
    found: dict[str, Any] = {}
    faults = []
    for service in rows[0]["services"]:
        values = {what: [row["services"][service][what] for row in rows] for what in ("rss_mib", *COUNTED)}
        growth, error = slope([row["minutes"] for row in rows], values["rss_mib"])
        found[service] = {
            "rss_mib_per_minute": round(growth, 3),
            "standard_error": round(error, 3),
            "rss_mib": [round(values["rss_mib"][0], 1), round(values["rss_mib"][-1], 1)],
        }
        if growth - 2 * error > rss_mib:
            faults.append(f"{service}: memory grows by {growth:.2f} ± {2 * error:.2f} MiB a minute")
        half = len(rows) // 2
        for what in COUNTED:
            before, after = max(values[what][: half or 1]), max(values[what][half:])
            found[service][what] = [before, after]
            if after > before + SPARE:
                faults.append(f"{service}: {what} grow from {before:g} to {after:g}")
    return found, faults


async def soak(minutes: float, warm_up: float, seed: int, settings: Mapping[str, Any]) -> tuple[list[Any], Tally]:
    """Waves for so many minutes, after so many of warming up; a row of measurements for each wave after them."""
    rng, tally, rows, files = random.Random(seed), Tally(), [], pictures()
    wanted = environments("127.0.0.1", Ports.free(), shared=settings, channel={"seed": seed})
    for service, variables in wanted.items():
        variables[f"PANOLINK_{service}_METRICS_LISTEN".upper()] = "127.0.0.1:0"
        variables[f"PANOLINK_{service}_LOG_LEVEL".upper()] = "error"
    async with Services(wanted, on_line=lambda name, line: tally.faults.append(f"{name} logs: {line}")) as services:
        where = await services.supervise(services.ready())
        start, number = time.monotonic(), 0
        while (now := (time.monotonic() - start) / 60) < minutes + warm_up:
            number += 1
            await services.supervise(wave(rng, where, files, str(number), tally))
            await asyncio.sleep(2)  # connections without a call are closed after one
            row = {
                "minutes": round((time.monotonic() - start) / 60, 3),
                "panoramas": tally.sent,
                "services": {service: await asyncio.to_thread(measure, said) for service, said in where.items()},
            }
            mib = {service: round(values["rss_mib"], 1) for service, values in row["services"].items()}
            print(f"{row['minutes']:6.2f} min, {tally.sent} panoramas, MiB: {mib}", flush=True)
            if now >= warm_up:
                rows.append(row)
    return rows, tally


def main(
    minutes: Annotated[float, typer.Argument(min=0.2)] = 60.0,
    warm_up: Annotated[float, typer.Option(min=0.0, help="Minutes that do not count.")] = 5.0,
    rss_mib: Annotated[float, typer.Option(help="MiB by which a process may grow in a minute.")] = 1.0,
    seed: Annotated[int, typer.Option()] = 1,
    model: Annotated[str, typer.Option()] = "base",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all measurements there.")] = None,
) -> None:
    """Run, print a summary, end with 1 where something grows or an answer is missing."""
    logging.disable()  # of the clients here, which break off on purpose
    try:
        rows, tally = asyncio.run(soak(minutes, warm_up, seed, {"models": model, "device": "cpu"}))
    except LinkError as error:
        raise SystemExit(str(error)) from None
    growth, faults = judge(rows, rss_mib)
    summary = {
        "minutes": minutes,
        "panoramas": tally.sent,
        "codes": dict(tally.codes),
        "shown": tally.shown,
        "growth": growth,
        "faults": faults + tally.faults,
    }
    print(json.dumps(summary, indent=2))
    if json_file:
        json_file.write_text(json.dumps(summary | {"rows": rows}))
    raise SystemExit(1 if faults or tally.faults else 0)


if __name__ == "__main__":
    typer.run(main)
