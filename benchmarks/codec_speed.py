"""How long the codec takes: encode and decode of one panorama at several sizes, batch 1, median of several runs.

python benchmarks/codec_speed.py samples/city.webp
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from panolink import Codec, load_panorama


def main(
    panorama: Annotated[Path, typer.Argument(help="A panorama; it is scaled to each width.")],
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
    width: Annotated[list[int] | None, typer.Option(help="Widths in pixels [default: 1024, 2048].")] = None,
    bpp: Annotated[float, typer.Option(help="Target in bits per pixel.")] = 0.1,
    runs: Annotated[int, typer.Option(min=1)] = 6,
) -> None:
    """Print one JSON object a width: median seconds of encode and decode."""
    codec = Codec.load(model)
    original = Image.fromarray(load_panorama(panorama))
    for pixels in width or (1024, 2048):
        image = np.asarray(original.resize((pixels, pixels // 2), Image.Resampling.LANCZOS))
        encoding, decoding = [], []
        for _ in range(runs + 1):
            start = time.perf_counter()
            packet = codec.encode(image, bpp=bpp)
            middle = time.perf_counter()
            codec.decode(packet)
            encoding.append(middle - start)
            decoding.append(time.perf_counter() - middle)
        medians = {"encode": statistics.median(encoding[1:]), "decode": statistics.median(decoding[1:])}
        seconds = {stage: round(value, 4) for stage, value in medians.items()}
        print(json.dumps({"model": codec.name, "width": pixels, "bpp": round(packet.bpp, 4), "seconds": seconds}))


if __name__ == "__main__":
    typer.run(main)
