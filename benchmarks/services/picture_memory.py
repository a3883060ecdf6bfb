"""Peak memory of the services in bytes per pixel, on which `rpc.flow_control.picture_budget` counts.

python -m benchmarks.services.picture_memory --height 1024

Modes: a transmitter and a receiver, as processes, are sent one panorama in each mode, and the peak of their resident
memory over that at rest is divided by its pixels. Stages: the same in this process, one after the other; one request
alone (`--request`) is not disturbed by what the heap holds of those before.
The panorama is a photograph with noise, so that there is something to send everywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panolink.cli.process_group import Ports, Services, environments
from panolink.client import Client
from panolink.codec.codec import Codec
from panolink.images import encode_png, load_panorama
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.link.unequal_protection import Choice
from panolink.rpc.flow_control.heap import return_free_memory, share_one_heap

SAMPLE = Path(__file__).parents[2] / "samples/city.webp"
MODES: Mapping[str, Mapping[str, Any]] = {
    "the default rate": {},
    "bpp 0.1": {"bpp": 0.1},
    "bpp 2": {"bpp": 2.0},
    "tau 0": {"tau": 0.0},
    "tau 1": {"tau": 1.0},
    "a budget of 0.1 symbols per pixel": {"symbols_per_pixel": 0.1},
    "adaptive": {"adaptive": True},
    "adaptive, with later rounds": {"adaptive": True, "harq": 3},
    "amplitudes": {"analogue": True},
    "activation map": {"tau": 0.5, "activation": True},
    "nothing comes back": {"picture": False},
}


BUDGET = "fill a budget of symbols"
REQUESTS = {
    "bpp 2": RateRequest(bpp=2.0),
    "tau 1": RateRequest(tau=1.0),
    "amplitudes": RateRequest(analog=True),
    "the default rate": RateRequest(),
}


def status(key: str, pid: int | str = "self") -> int:
    """A size of a process in bytes: `VmRSS`, or `VmHWM` for its peak (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))


def restart_peak(pid: int | str = "self") -> None:
    """The peak of a process begins anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def photograph(height: int) -> bytes:
    """A PNG file, 2:1."""
    with Image.open(SAMPLE) as sample:
        smooth = np.array(sample.convert("RGB").resize((2 * height, height)), np.int16)
    noise = np.random.default_rng(0).integers(-8, 8, smooth.shape)
    return encode_png((smooth + noise).clip(0, 255).astype(np.uint8))


async def modes(height: int, model: str, wanted: Sequence[str]) -> None:
    """Print the peak in bytes per pixel of transmitter and receiver in each mode; without a channel in between."""
    ports = Ports.free()
    settings = environments("127.0.0.1", ports, shared={"models": model, "device": "cpu"}, channel={})
    settings["transmitter"] |= {
        "PANOLINK_TRANSMITTER_TARGET": f"127.0.0.1:{ports.receiver}",
        "PANOLINK_TRANSMITTER_DECODE_SECONDS": "600",
        "PANOLINK_TRANSMITTER_RECEIPT_TIMEOUT_SECONDS": "3000",
    }
    del settings["channel"]
    small, large = photograph(128), photograph(height)
    async with Services(settings) as services:
        said = await services.supervise(services.ready())
        pids = [said[name]["pid"] for name in ("transmitter", "receiver")]

        async def measure() -> None:
            async with Client(said["transmitter"]["listen"], delivery_timeout=3000) as client:
                for name in wanted:
                    await send(client, small, MODES[name])
                rest = [status("VmRSS", pid) for pid in pids]
                for name in wanted:
                    for pid in pids:
                        restart_peak(pid)
                    await send(client, large, MODES[name])
                    peaks = [
                        (status("VmHWM", pid) - at_rest) / (2 * height * height)
                        for pid, at_rest in zip(pids, rest, strict=True)
                    ]
                    print(f"| {name} | {peaks[0]:.0f} | {peaks[1]:.0f} |", flush=True)

        await services.supervise(measure())


async def send(client: Client, file: bytes, options: Mapping[str, Any]) -> None:
    """One panorama; `SystemExit` where it is not delivered."""
    async for delivery in client.send([file], **options):
        if not delivery.delivered:
            raise SystemExit(f"{options}: {delivery.error}")


def measured(name: str, work: Callable[[], Any], *, pixels: int, rest: int) -> Any:
    """Run a stage; prints its peak over `rest`."""
    gc.collect()
    return_free_memory()
    restart_peak()
    result = work()
    peak = status("VmHWM") - rest
    print(f"| {name} | {peak >> 20} MiB | {peak / pixels:.0f} |", flush=True)
    return result


def stages(height: int, model: str, wanted: Sequence[str]) -> None:
    """Print the peak of each stage in this process, for each of the requests that are wanted."""
    pixels = 2 * height * height
    share_one_heap()
    codec = Codec.load(model, device="cpu")
    codec.warm_up()
    file = photograph(height)
    gc.collect()
    return_free_memory()
    rest = status("VmRSS")
    picture = measured("decode the file", lambda: load_panorama(file, name="x"), pixels=pixels, rest=rest)
    (features,) = measured("extract", lambda: codec.extract([picture]), pixels=pixels, rest=rest)
    budget = SymbolBudget.per_pixel(0.1, pixels=pixels)
    sent: Any = None
    for name in wanted:
        sent = None
        request = RateRequest(budget=budget, protection=Choice(15.0)) if name == BUDGET else REQUESTS[name]
        work = partial(Transmitter(codec).transmit, picture, request, features=features)
        sent = measured(name, work, pixels=pixels, rest=rest)
    packet = codec.pack(sent.tokens)
    del picture, features, sent, work
    tokens = measured("unpack", lambda: codec.unpack(packet), pixels=pixels, rest=rest)
    (picture,) = measured("reconstruct", lambda: codec.reconstruct([tokens]), pixels=pixels, rest=rest)
    measured("write a PNG file", lambda: encode_png(picture), pixels=pixels, rest=rest)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--model", default="base")
    parser.add_argument("--mode", action="append", choices=list(MODES), help="only this one; may be repeated")
    parser.add_argument("--stages", action="store_true", help="the stages, in place of the modes")
    parser.add_argument(
        "--request", action="append", choices=[BUDGET, *REQUESTS], help="of the stages only this one; may be repeated"
    )
    options = parser.parse_args()
    print(f"{2 * options.height}×{options.height}, {options.model}, bytes per pixel above rest")
    if options.stages:
        print("\n| Stage | Peak | Bytes per pixel |\n|---|---|---|", flush=True)
        stages(options.height, options.model, options.request or [BUDGET, *REQUESTS])
        return
    print("\n| Mode | Transmitter | Receiver |\n|---|---|---|", flush=True)
    asyncio.run(modes(options.height, options.model, options.mode or list(MODES)))


if __name__ == "__main__":
    main()
