"""Peak memory of each stage of the services in bytes per pixel, which `rpc.flow_control.picture_budget` counts on.

python -m benchmarks.services.picture_memory --height 1024
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panolink.codec.codec import Codec
from panolink.images import encode_png, load_panorama
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.link.unequal_protection import Choice

SAMPLE = Path(__file__).parents[2] / "samples/city.webp"


def status(key: str) -> int:
    """A size of this process in bytes: `VmRSS`, or `VmHWM` for its peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))


def measured(name: str, work: Callable[[], Any], *, pixels: int, rest: int) -> Any:
    """Run a stage; prints its peak over `rest`."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    result = work()
    print(f"| {name} | {(status('VmHWM') - rest) / pixels:.0f} |", flush=True)
    return result


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=1024)
    height = parser.parse_args().height
    pixels = 2 * height * height
    codec = Codec.load("base", device="cpu")
    codec.warm_up()
    with Image.open(SAMPLE) as sample:
        smooth = np.array(sample.convert("RGB").resize((2 * height, height)), np.int16)
    noise = np.random.default_rng(0).integers(-8, 8, smooth.shape)
    file = encode_png((smooth + noise).clip(0, 255).astype(np.uint8))
    del smooth, noise
    gc.collect()
    rest = status("VmRSS")
    print(
        f"at rest: {rest >> 20} MiB; {2 * height}×{height}, bytes per pixel above that\n\n| Stage | Peak |\n|---|---|"
    )
    picture = measured("decode the file", lambda: load_panorama(file, name="x"), pixels=pixels, rest=rest)
    (features,) = measured("extract", lambda: codec.extract([picture]), pixels=pixels, rest=rest)
    budget = RateRequest(budget=SymbolBudget.per_pixel(0.1, pixels=pixels), protection=Choice(15.0))
    sent: Any = None
    for name, request in (("fill a budget", budget), ("the default rate", RateRequest())):
        work = partial(Transmitter(codec).transmit, picture, request, features=features)
        sent = measured(name, work, pixels=pixels, rest=rest)
    packet = codec.pack(sent.tokens)
    del picture, features, sent
    gc.collect()
    rest = min(rest, status("VmRSS"))
    tokens = measured("unpack", lambda: codec.unpack(packet), pixels=pixels, rest=rest)
    (picture,) = measured("reconstruct", lambda: codec.reconstruct([tokens]), pixels=pixels, rest=rest)
    measured("write a PNG file", lambda: encode_png(picture), pixels=pixels, rest=rest)


if __name__ == "__main__":
    main()
