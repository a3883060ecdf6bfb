"""Time and memory of panoramas up to the limits: that both grow in a line with their pixels, or that they are refused.

python -m benchmarks.services.large_pictures --width 1024 --width 2048 --width 4096 --width 7680 --width 16384

Two tables. Codec: CPU seconds to encode and decode one at the default rate, in this process, all of one run; others on
the machine disturb them less than those of the clock. Services: a transmitter and a receiver as processes, with the
settings that they have by themselves; seconds from sending a JPEG file to its receipt, and the peak of each one's
resident memory, in all and over that at rest. What does not fit is refused, and the message is printed; `--memory`
stands for a container's limit.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image

from benchmarks.services.picture_memory import SAMPLE, restart_peak, status
from panolink.cli.process_group import Ports, Services, environments
from panolink.client import Client
from panolink.codec.codec import Codec
from panolink.errors import PanolinkError

WIDTHS = (1024, 2048, 4096, 7680)
PATIENCE = 3000.0
"""seconds that a panorama may take"""


def photograph(width: int) -> np.ndarray:
    """A panorama uint8 (width / 2, width, 3): the sample enlarged, with the same noise in every megapixel."""
    with Image.open(SAMPLE) as sample:
        pixels = np.array(sample.convert("RGB").resize((width, width // 2)))
    noise = np.random.default_rng(0).integers(-6, 7, (64, 64, 3), np.int8)
    for row in range(0, len(pixels), 64):
        rows = pixels[row : row + 64].astype(np.int16)
        rows += np.tile(noise, (1, -(-width // 64), 1))[: len(rows), :width]
        pixels[row : row + 64] = rows.clip(0, 255)
    return pixels


def codec_times(widths: Sequence[int], model: str) -> None:
    """Print CPU seconds to encode and to decode, and both for each megapixel."""
    codec = Codec.load(model, device="cpu")
    codec.warm_up()
    print("\n| Panorama | encode | decode | both, a megapixel |\n|---|---|---|---|", flush=True)
    for width in widths:
        picture = photograph(width)
        began = time.process_time()
        packet = codec.encode(picture)
        encoded = time.process_time()
        codec.decode(packet)
        seconds = encoded - began, time.process_time() - encoded
        megapixels = picture.shape[0] * picture.shape[1] / 1e6
        size = f"{width}×{width // 2}"
        print(f"| {size} | {seconds[0]:.2f} s | {seconds[1]:.2f} s | {sum(seconds) / megapixels:.2f} s |", flush=True)


async def services(widths: Sequence[int], model: str, memory: int | None) -> None:
    """Print what a transmitter and a receiver take for each."""
    ports = Ports.free()
    shared = {"models": model, "device": "cpu"}
    settings = environments("127.0.0.1", ports, shared=shared, channel={})
    settings["transmitter"] |= {
        "PANOLINK_TRANSMITTER_TARGET": f"127.0.0.1:{ports.receiver}",
        "PANOLINK_TRANSMITTER_RECEIPT_TIMEOUT_SECONDS": f"{PATIENCE:.0f}",
    }
    if memory is not None:
        for name in ("transmitter", "receiver"):
            settings[name][f"PANOLINK_{name.upper()}_MAX_PICTURE_BYTES"] = str(memory)
    del settings["channel"]
    print("\n| Panorama | seconds | transmitter, of it above rest | receiver |\n|---|---|---|---|", flush=True)
    async with Services(settings) as running:
        said = await running.supervise(running.ready())
        pids = [said[name]["pid"] for name in ("transmitter", "receiver")]

        async def measure() -> None:
            await one(said["transmitter"]["listen"], 256)
            for width in widths:
                rest = [status("VmRSS", pid) for pid in pids]
                for pid in pids:
                    restart_peak(pid)
                outcome = await one(said["transmitter"]["listen"], width)
                peaks = [status("VmHWM", pid) for pid in pids]
                found = [f"{peak >> 20} MiB, {peak - before >> 20}" for peak, before in zip(peaks, rest, strict=True)]
                print(f"| {width}×{width // 2} | {outcome} | {' | '.join(found)} |", flush=True)

        await running.supervise(measure())


async def one(target: str, width: int) -> str:
    """Send a panorama; its seconds, or why it was refused."""
    file = io.BytesIO()
    Image.fromarray(photograph(width)).save(file, "JPEG", quality=85)
    began = time.monotonic()
    async with Client(target, delivery_timeout=PATIENCE) as client:
        try:
            (delivery,) = [delivery async for delivery in client.send([file.getvalue()], picture=False)]
        except PanolinkError as error:
            return str(error)
    return f"{time.monotonic() - began:.1f}" if delivery.delivered else f"{delivery.code}: {delivery.error}"


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, action="append", help="of a panorama; may be repeated")
    parser.add_argument("--model", default="base")
    parser.add_argument("--memory", type=int, help="bytes for pictures in each service (MAX_PICTURE_BYTES)")
    parser.add_argument("--only", choices=["codec", "services"])
    options = parser.parse_args()
    widths = options.width or WIDTHS
    if options.only != "services":
        codec_times(widths, options.model)
    if options.only != "codec":
        asyncio.run(services(widths, options.model, options.memory))


if __name__ == "__main__":
    main()
