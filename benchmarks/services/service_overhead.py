"""How much of a panorama's way is neither codec nor radio: three real processes, one panorama at a time.

python benchmarks/services/service_overhead.py samples/city.webp

End to end is what the transmitter measures, from a panorama's last byte to its receipt; `seen_by_the_sender` adds the
way of the file to the transmitter and of the delivery back. Stages of all services count as

- codec: encode, quantize, entropy_code, entropy_decode, decode
- radio: fec_encode, channel, fec_decode
- image files: decode_image at the transmitter, encode_picture (PNG) at the receiver, for whoever wants the picture
- services: all the rest, which is waiting for a batch, chunks, gRPC three times, threads, metrics

Ratios are of sums over one run, so that what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import asyncio
import io
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image

from panolink import load_panorama
from panolink.cli.process_group import Ports, Services, environments
from panolink.client import Client
from panolink.rpc.wire.deliveries import Delivery

GROUPS = {
    "codec": ("encode", "quantize", "entropy_code", "entropy_decode", "decode"),
    "radio": ("fec_encode", "channel", "fec_decode"),
    "image files": ("decode_image", "encode_picture"),
}


@dataclass
class Times:
    """Deliveries, and how long the sender waited for each, in seconds."""

    deliveries: list[Delivery] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)

    def shares(self) -> dict[str, float]:
        """Each group's share of all end-to-end time, and what is left to the services."""
        total = sum(delivery.seconds["total"] for delivery in self.deliveries)
        shares = {
            group: sum(delivery.seconds.get(stage, 0.0) for delivery in self.deliveries for stage in stages) / total
            for group, stages in GROUPS.items()
        }
        return shares | {"services": 1 - sum(shares.values())}

    def report(self) -> dict[str, Any]:
        """What is printed."""
        shares = self.shares()
        totals = [delivery.seconds["total"] for delivery in self.deliveries]
        stages = sorted({stage for delivery in self.deliveries for stage in delivery.seconds} - {"total"})
        return {
            "seconds": {
                "end_to_end": round(statistics.median(totals), 4),
                "seen_by_the_sender": round(statistics.median(self.seen), 4),
            },
            "share": {group: round(share, 4) for group, share in shares.items()},
            "outside_codec_and_radio": round(1 - shares["codec"] - shares["radio"], 4),
            "outside_codec_radio_and_image_files": round(shares["services"], 4),
            "stage_seconds": {
                stage: round(statistics.median(one.seconds.get(stage, 0.0) for one in self.deliveries), 4)
                for stage in stages
            },
        }


def main(
    panorama: Annotated[Path, typer.Argument(help="A panorama; it is scaled to the width.")],
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda")] = "auto",
    width: Annotated[int, typer.Option(help="Width in pixels.")] = 2048,
    bpp: Annotated[float, typer.Option(help="Target in bits per pixel.")] = 0.1,
    image_format: Annotated[str, typer.Option("--format", help="Of the file that is sent: JPEG, PNG, WEBP")] = "JPEG",
    runs: Annotated[int, typer.Option(min=1)] = 12,
) -> None:
    """Print one JSON object for panoramas that are only received, and one for those whose picture comes back."""
    picture = Image.fromarray(load_panorama(panorama)).resize((width, width // 2), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **({"quality": 95} if image_format != "PNG" else {}))
    file = buffer.getvalue()
    for back, times in asyncio.run(measure(file, model, device, bpp, runs)).items():
        report = {"model": model, "width": width, "bpp": bpp, "file": image_format, "runs": runs, "picture_back": back}
        print(json.dumps(report | times.report()))


async def measure(file: bytes, model: str, device: str, bpp: float, runs: int) -> dict[bool, Times]:
    """Send the file so often without and with the picture coming back."""
    ports = Ports.free()
    shared = {"models": model, "device": device}
    settings = environments("127.0.0.1", ports, shared=shared, channel={"model": "rayleigh", "snr_db": 10, "seed": 1})
    async with Services(settings) as services:
        await services.supervise(services.ready())
        return await services.supervise(send(f"127.0.0.1:{ports.transmitter}", file, bpp, runs))


async def send(target: str, file: bytes, bpp: float, runs: int) -> dict[bool, Times]:
    """One panorama at a time, over streams that are open already."""
    found: dict[bool, Times] = {}
    async with Client(target, in_flight=1) as client:
        for back in (False, True):
            times, warm = Times(), 2
            start = 0.0

            def files(count: int = runs + warm) -> Any:
                nonlocal start
                for _ in range(count):
                    start = time.monotonic()
                    yield file

            async for delivery in client.send(files(), bpp=bpp, picture=back):
                if not delivery.delivered:
                    raise SystemExit(f"{delivery.source}: {delivery.error}")
                times.deliveries.append(delivery)
                times.seen.append(time.monotonic() - start)
            found[back] = Times(times.deliveries[warm:], times.seen[warm:])
    return found


if __name__ == "__main__":
    typer.run(main)
