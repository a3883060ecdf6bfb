"""What the viewer's page costs a browser: time of its main thread for a frame, and for a picture that arrives.

python -m benchmarks.services.viewer_page 10 --width 1024 --json page.json

A receiver that has its pictures already publishes so many a second, tokens' kinds among them; a viewer watches it, and
the page is opened in Chromium, where it turns all the time: every frame is drawn anew. First without a picture, then
with them. Chromium counts what its main thread does: scripts, layout and style, and all of it together; what the
pictures cost is the difference. Drawing itself is the GPU's. Here it has none, and draws in software, so that frames a
second say nothing; the main thread's milliseconds do, and whether sixty frames and the pictures have room in a second.

The exit code is 1 where they take more than half of it.
"""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from benchmarks.services.soak import in_the_background
from benchmarks.services.viewer_load import chromium, frames
from panolink.images import encode_png
from panolink.images.wire_pictures import encode_picture
from panolink.link.token_kinds import TokenKind
from panolink.picture_format import PictureFormat
from panolink.rpc.server.server import Server
from panolink.services.receiver.metrics import ReceiverMetrics
from panolink.services.receiver.servicer import ReceiverServicer
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.receiver.watchers import WatchedPanorama, Watchers, Wish
from panolink.services.viewer.server import build as build_viewer
from panolink.services.viewer.settings import ViewerSettings
from panolink.v1 import receiver_pb2, receiver_pb2_grpc

FRAMES_PER_SECOND = 60
PICTURES_PER_SECOND = 10
BUSY_SHARE = 0.5
"""Of the main thread's time, which leaves the other half to a slower laptop and to the browser itself."""

RAW = Wish(PictureFormat.RGB8)
TURN = """() => {
  const canvas = document.getElementById("sphere");
  window.drawn = 0;
  const turn = () => {
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    window.drawn++;
    requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
}"""
COUNTED = {"script_ms": ("ScriptDuration",), "layout_ms": ("LayoutDuration", "RecalcStyleDuration")}


class Pictures:
    """A turning panorama, its files and kinds of tokens made beforehand."""

    def __init__(self, width: int) -> None:
        turning = frames(width)
        rng = np.random.default_rng(0)
        kinds = [rng.choice(np.array(TokenKind, np.uint8), (width // 32, width // 16)) for _ in turning]
        self._pictures = [encode_picture(picture, PictureFormat.RGB8) for picture in turning]
        self._kinds = [encode_png(grid) for grid in kinds]
        self._width = width
        self.published = 0

    async def publish(self, watchers: Watchers) -> None:
        """One picture after the other, without end."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            place = self.published % len(self._pictures)
            picture, kinds = self._pictures[place], self._kinds[place]
            self.published += 1
            header = receiver_pb2.ReceivedPanoramaHeader(
                number=self.published,
                source=f"camera {self.published}",
                width=self._width,
                height=self._width // 2,
                snr_db=12,
                picture_bytes=len(picture),
                token_bytes=len(kinds),
            )
            await watchers.publish(WatchedPanorama(header, picture, kinds), [RAW])
            due += 1 / PICTURES_PER_SECOND
            await asyncio.sleep(max(0.0, due - loop.time()))


def receiver(watchers: Watchers) -> Server:
    """A receiver whose pictures come from elsewhere."""
    settings = ReceiverSettings(listen="127.0.0.1:0", metrics_listen="off")
    server = Server("receiver", settings, ReceiverMetrics())
    servicer = ReceiverServicer(watchers, server.streams("watch"))
    server.add(receiver_pb2_grpc.add_ReceiverServicer_to_server, servicer, "panolink.v1.Receiver")
    return server


async def counted(session: Any, page: Any, seconds: float) -> dict[str, float]:
    """What the main thread did for so many seconds."""

    async def now() -> dict[str, float]:
        metrics = (await session.send("Performance.getMetrics"))["metrics"]
        values = {metric["name"]: metric["value"] for metric in metrics}
        spent = {name: 1000 * sum(values[part] for part in parts) for name, parts in COUNTED.items()}
        shown = int(await page.evaluate("Number(document.body.dataset.shown ?? 0)"))
        counts = {"frames": await page.evaluate("window.drawn"), "pictures": shown}
        return {
            **spent,
            "task_ms": 1000 * values["TaskDuration"],
            "heap_mib": values["JSHeapUsedSize"] / 2**20,
            **counts,
        }

    before = await now()
    await asyncio.sleep(seconds)
    after = await now()
    return {name: after[name] - before[name] for name in after} | {"heap_mib": after["heap_mib"]}


def cost(quiet: dict[str, float], busy: dict[str, float]) -> dict[str, Any]:
    """Milliseconds of the main thread for a frame and for a picture, and the share of a second that all take."""
    parts = (*COUNTED, "task_ms")
    frame = {part: quiet[part] / max(1.0, quiet["frames"]) for part in parts}
    picture = {part: max(0.0, busy[part] - busy["frames"] * frame[part]) / max(1.0, busy["pictures"]) for part in parts}
    share = (FRAMES_PER_SECOND * frame["task_ms"] + PICTURES_PER_SECOND * picture["task_ms"]) / 1000
    return {
        "frame": {part: round(value, 2) for part, value in frame.items()},
        "picture": {part: round(value, 2) for part, value in picture.items()},
        "busy_share": round(share, 3),
    }


async def measure(seconds: float, width: int, overlay: str) -> dict[str, Any]:
    """The page without pictures, and with them."""
    watchers = Watchers("newest", size=2, on_drop=lambda: None)
    pictures = Pictures(width)
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(receiver(watchers))
        settings = ViewerSettings(
            listen="127.0.0.1:0",
            metrics_listen="off",
            transmitter="127.0.0.1:1",
            channel="off",
            receiver=served.address,
        )
        viewer = await stack.enter_async_context(build_viewer(settings))
        page = await stack.enter_async_context(chromium(viewer.address))
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        async with asyncio.timeout(30):
            while not len(watchers):
                await asyncio.sleep(0.1)
        async with in_the_background(pictures.publish(watchers)):  # textures are made
            await asyncio.sleep(2)
        await page.select_option("#overlay", overlay)
        await page.evaluate(TURN)
        await asyncio.sleep(1)
        quiet = await counted(session, page, seconds)
        published = pictures.published
        async with in_the_background(pictures.publish(watchers)):
            busy = await counted(session, page, seconds)
        arrived = round(busy["pictures"] / max(1, pictures.published - published), 2)
    return {
        "width": width,
        "overlay": overlay,
        **cost(quiet, busy),
        "heap_mib": round(busy["heap_mib"], 1),
        "shown_share": arrived,
        "frames_per_second": round(busy["frames"] / seconds, 1),
        "pictures_per_second": round(busy["pictures"] / seconds, 1),
        "jpeg_kib": round(_jpeg_bytes(width) / 1024),
    }


def _jpeg_bytes(width: int) -> int:
    file = io.BytesIO()
    Image.fromarray(frames(width)[0]).save(file, "JPEG", quality=90, subsampling=0)
    return file.tell()


def main(
    seconds: Annotated[float, typer.Argument(min=1.0)] = 10.0,
    width: Annotated[int, typer.Option(min=64, help="Of the pictures, pixels.")] = 1024,
    overlay: Annotated[str, typer.Option(help="What is laid over them.")] = "none",
    busy_share: Annotated[float, typer.Option(help="Of the main thread's time that the page may take.")] = BUSY_SHARE,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there.")] = None,
) -> None:
    """Run, print, end with 1 where the page has no room for its frames."""
    found = asyncio.run(measure(seconds, width, overlay))
    faults = []
    if found["busy_share"] > busy_share:
        faults.append(f"{found['busy_share']:.0%} of the main thread's time; allowed: {busy_share:.0%}")
    if not found["pictures_per_second"]:
        faults.append("the page showed no picture")
    summary = {**found, "faults": faults}
    print(json.dumps(summary, indent=2))
    if json_file:
        json_file.write_text(json.dumps(summary))
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
