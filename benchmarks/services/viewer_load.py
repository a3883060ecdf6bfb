"""Many browsers on one viewer: does the link notice them, and does the viewer's memory stay flat?

python -m benchmarks.services.viewer_load 60 --browsers 20 --chromium --json load.json

Four real processes. A camera offers a stream of pictures at a steady rate, first with one browser on the page, then
with many (WebSockets that read all and tell where they look, and where asked for a real Chromium, too), then with one
again, each for so many seconds. Told are deliveries a second and their latency in each of the three, pictures that
browsers got, and the memory of the viewer while the many are there.

The exit code is 1 where deliveries a second with many are less than nine tenths of those with one, or the viewer's
memory grows by more than a MiB a minute: the slope of the line through its measurements, less twice its standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from websockets.asyncio.client import connect

from benchmarks.services.soak import SAMPLES, in_the_background, measure, slope
from panolink.cli.process_group import Ports, Services, environments
from panolink.client import Client, LivePicture

WARM_UP_SECONDS = 10.0
MEASURE_SECONDS = 1.0
LEAST_SHARE = 0.9
MIB_PER_MINUTE = 1.0
CHROMIUM_FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


def frames(width: int) -> list[np.ndarray]:
    """A camera that turns slowly: a panorama, each time a token's width further."""
    with Image.open(sorted(SAMPLES.glob("*.webp"))[0]) as image:
        still = np.asarray(image.convert("RGB").resize((width, width // 2)))
    return [np.roll(still, 16 * step, axis=1) for step in range(32)]


async def camera(target: str, width: int, fps: float, got: list[tuple[float, float]]) -> None:
    """Offer a stream without end; notes when each picture was delivered, and how long it took, in seconds."""
    pictures, began = frames(width), time.monotonic()
    taken: dict[str, float] = {}

    async def live() -> AsyncGenerator[tuple[str, LivePicture], None]:
        number = 0
        while True:
            name = f"camera {number}"
            taken[name] = time.monotonic()
            yield name, LivePicture(pictures[number % len(pictures)], captured_at=time.time())
            # a camera does not wait: pictures that are due while the link is busy are not taken
            number = max(number + 1, int((time.monotonic() - began) * fps))
            await asyncio.sleep(max(0.0, began + number / fps - time.monotonic()))

    async with Client(target, in_flight=2) as client:
        sending = client.send(live(), picture=False, stream="camera", bpp=0.1, follow_gaze=True, frame_rate=fps)
        async with contextlib.aclosing(sending) as deliveries:
            async for delivery in deliveries:
                if not delivery.delivered:
                    raise SystemExit(f"{delivery.source}: {delivery.error}")
                now = time.monotonic()
                got.append((now, now - taken.pop(delivery.source)))


async def browser(address: str, pictures: list[int], place: int) -> None:
    """A WebSocket as the page has one: reads all there is, and looks around."""
    rng = random.Random(place)
    async with connect(f"ws://{address}/ws", origin=f"http://{address}", max_size=None) as socket:  # type: ignore[arg-type]

        async def look() -> None:
            while True:
                gaze = {"yaw": rng.uniform(-180, 180), "pitch": rng.uniform(-40, 40), "fov": 100}
                await socket.send(json.dumps({"type": "gaze", **gaze}))
                await asyncio.sleep(0.2)

        async with in_the_background(look()):
            async for message in socket:
                pictures[place] += isinstance(message, bytes)


@asynccontextmanager
async def chromium(address: str) -> AsyncIterator[Any]:
    """The page in a real browser."""
    from playwright.async_api import async_playwright

    executable = shutil.which("chromium")
    if executable is None:
        raise SystemExit("no chromium (Debian's package chromium)")
    async with async_playwright() as started:
        running = await started.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        page = await running.new_page()
        await page.goto(f"http://{address}/")
        yield page
        await running.close()


async def phase(
    seconds: float, where: dict[str, Any], browsers: int, got: list[tuple[float, float]], *, real: bool
) -> dict[str, Any]:
    """So many browsers for so many seconds, after some in which they come."""
    address = where["viewer"]["listen"]
    pictures = [0] * browsers
    rows: list[tuple[float, float]] = []
    page: Any = None
    async with contextlib.AsyncExitStack() as stack:
        if real:
            page = await stack.enter_async_context(chromium(address))
        work = [browser(address, pictures, place) for place in range(browsers)]
        await stack.enter_async_context(in_the_background(*work))
        await asyncio.sleep(min(WARM_UP_SECONDS, seconds / 2))
        before, began = list(pictures), time.monotonic()
        while time.monotonic() < began + seconds:
            await asyncio.sleep(MEASURE_SECONDS)
            values = await asyncio.to_thread(measure, where["viewer"])
            rows.append(((time.monotonic() - began) / 60, values["rss_mib"]))
        ended = time.monotonic()
        found: dict[str, Any] = (
            {"chromium_shows": int(await page.evaluate("document.body.dataset.shown"))} if page else {}
        )
    latencies = [latency for at, latency in got if began <= at <= ended]
    growth, error = slope(*zip(*rows, strict=True))
    return found | {
        "browsers": browsers + real,
        "deliveries_per_second": round(len(latencies) / (ended - began), 2),
        "latency_ms": [round(1000 * float(value)) for value in np.percentile(latencies or [0], (50, 95))],
        "pictures_per_browser_per_second": round(
            min(now - then for now, then in zip(pictures, before, strict=True)) / (ended - began), 2
        ),
        "viewer_mib": [round(rows[0][1], 1), round(rows[-1][1], 1)],
        "viewer_mib_per_minute": [round(growth, 2), round(error, 2)],
    }


def judge(one: dict[str, Any], many: dict[str, Any], again: dict[str, Any], mib_per_minute: float) -> list[str]:
    """What many browsers must not do: slow the link, more than it varies with one, or let the viewer grow."""
    faults = []
    least = LEAST_SHARE * min(one["deliveries_per_second"], again["deliveries_per_second"])
    if many["deliveries_per_second"] < least:
        faults.append(f"{many['deliveries_per_second']:g} deliveries a second; with one browser {least:.2f} at least")
    growth, error = many["viewer_mib_per_minute"]
    if growth - 2 * error > mib_per_minute:
        faults.append(f"the viewer's memory grows by {growth:.2f} ± {2 * error:.2f} MiB a minute")
    if not many["pictures_per_browser_per_second"]:
        faults.append("a browser got no picture")
    return faults


async def load(
    seconds: float, browsers: int, fps: float, width: int, model: str, *, real: bool
) -> list[dict[str, Any]]:
    """The three phases."""
    channel = {"model": "awgn", "snr_db": 15, "seed": 1}
    wanted = environments(
        "127.0.0.1", Ports.free(viewer=True), shared={"models": model, "device": "cpu"}, channel=channel
    )
    for service, variables in wanted.items():
        variables[f"PANOLINK_{service}_METRICS_LISTEN".upper()] = "127.0.0.1:0"
        variables[f"PANOLINK_{service}_LOG_LEVEL".upper()] = "error"
    got: list[tuple[float, float]] = []
    async with Services(wanted, on_line=lambda name, line: print(f"{name}: {line}")) as services:
        where = await services.supervise(services.ready())
        async with in_the_background(camera(where["transmitter"]["listen"], width, fps, got)):
            phases = []
            for count, chromium_too in ((1, False), (browsers, real), (1, False)):
                phases.append(await services.supervise(phase(seconds, where, count, got, real=chromium_too)))
                print(json.dumps(phases[-1]), flush=True)
    return phases


def main(
    seconds: Annotated[float, typer.Argument(min=2.0)] = 60.0,
    browsers: Annotated[int, typer.Option(min=1)] = 20,
    fps: Annotated[float, typer.Option(min=0.1, help="Pictures a second that the camera offers.")] = 2.0,
    width: Annotated[int, typer.Option(min=64, help="Of the camera's pictures, pixels.")] = 512,
    chromium: Annotated[bool, typer.Option("--chromium", help="A real browser, besides.")] = False,
    mib_per_minute: Annotated[
        float, typer.Option(help="MiB by which the viewer may grow in a minute.")
    ] = MIB_PER_MINUTE,
    model: Annotated[str, typer.Option()] = "base",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there.")] = None,
) -> None:
    """Run, print the three phases, end with 1 where many browsers are noticed."""
    phases = asyncio.run(load(seconds, browsers, fps, width, model, real=chromium))
    one, many, again = phases
    faults = judge(one, many, again, mib_per_minute)
    summary = {"phases": phases, "faults": faults}
    print(json.dumps(summary, indent=2))
    if json_file:
        json_file.write_text(json.dumps(summary))
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
