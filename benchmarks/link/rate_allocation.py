"""What rate control makes of a budget, and what it costs: quality, bits or symbols used, time, and work done.

    python -m benchmarks.link.rate_allocation --out now.json                    # a panorama of samples/ at a time
    python -m benchmarks.link.rate_allocation --baseline before.json            # and the differences from another run

Each panorama is coded at bits per pixel, in one slice and in slices that decode alone, and within symbols per pixel,
with the default protection, at an expected SNR, and with fading. Work is counted in quantisations (tokens whose symbols
were chosen over those of the picture that is sent; pilots apart), calls of the entropy coder, and runs of the encoder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from unittest import mock

import numpy as np

from panolink.codec.bitstream import Packet
from panolink.codec.codec import Codec
from panolink.codec.rate_control import rd_cost
from panolink.codec.rate_control.controller import RateController
from panolink.codec.tokens import Tokens
from panolink.images import load_panorama
from panolink.link.coding import Coding
from panolink.link.rate_allocation import allocate
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import Choice, Fixed
from panolink.metrics.viewport import vpsnr

RATES = (0.03, 0.1, 0.2)
PROTECTIONS = {"fixed": Fixed(), "5 dB": Choice(5.0), "15 dB fading": Choice(15.0, fading=1.0)}


@dataclass
class Work:
    """Tokens quantised, of them those of pilots; packets coded; panoramas encoded."""

    tokens: int = 0
    pilot_tokens: int = 0
    packs: int = 0
    extractions: int = 0


@contextmanager
def counted() -> Iterator[Work]:
    """Count the work that is done in a block."""
    work = Work()
    choose, pilot, pack, extract = rd_cost.choose_symbols, RateController.pilot, Codec.pack, Codec.extract

    def choosing(*args, cells, **kwargs):
        work.tokens += len(cells)
        return choose(*args, cells=cells, **kwargs)

    def piloting(self, point):
        before = work.tokens
        found = pilot(self, point)
        work.pilot_tokens += work.tokens - before
        return found

    def packing(self, tokens, **place):
        work.packs += 1
        return pack(self, tokens, **place)

    def extracting(self, images):
        work.extractions += len(images)
        return extract(self, images)

    with (
        mock.patch.object(rd_cost, "choose_symbols", choosing),
        mock.patch.object(RateController, "pilot", piloting),
        mock.patch.object(Codec, "pack", packing),
        mock.patch.object(Codec, "extract", extracting),
    ):
        yield work


def measured(
    codec: Codec, image: np.ndarray, code: Callable[[], tuple[Tokens, Packet, int]]
) -> dict[str, float | int | str]:
    """One panorama, coded once: a row of the result."""
    with counted() as work:
        start = time.perf_counter()
        tokens, packet, symbols = code()
        seconds = time.perf_counter() - start
    (picture,) = codec.reconstruct([tokens])
    return {
        "vpsnr_db": float(vpsnr(image, picture)),
        "bpp": packet.bpp,
        "symbols_per_pixel": symbols / (image.shape[0] * image.shape[1]),
        "seconds": seconds,
        "quantizations": (work.tokens - work.pilot_tokens) / tokens.kept.size,
        "packs": work.packs,
        "extractions": work.extractions,
        "reduction": str(tokens.reduction),
        "step": tokens.step,
    }


def cases(codec: Codec, image: np.ndarray) -> Iterator[tuple[str, Callable[[], tuple[Tokens, Packet, int]]]]:
    """What is compared, by name."""
    pixels = image.shape[0] * image.shape[1]

    def at_rate(bpp: float, robust: bool) -> tuple[Tokens, Packet, int]:
        tokens = codec.tokens_at(image, bpp, robust=robust)
        return tokens, codec.pack(tokens), 0

    def within(symbols_per_pixel: float, protection: Fixed | Choice) -> tuple[Tokens, Packet, int]:
        budget = SymbolBudget.per_pixel(symbols_per_pixel, pixels=pixels)
        coded = allocate(Coding(codec, image), budget, protection)
        return coded.tokens, coded.packet, coded.plan.symbols

    for rate in RATES:
        for robust in (False, True):
            yield f"bpp={rate}{' robust' if robust else ''}", lambda r=rate, b=robust: at_rate(r, b)
        for name, protection in PROTECTIONS.items():
            yield f"spp={rate} {name}", lambda r=rate, p=protection: within(r, p)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the rows here, as JSON")
    parser.add_argument("--baseline", type=Path, help="rows of another run, to compare with")
    parser.add_argument("--model", default="base")
    parser.add_argument("images", nargs="*", type=Path, help="panoramas; without any, those of samples/")
    args = parser.parse_args()
    codec = Codec.load(args.model)
    codec.warm_up()
    rows: dict[str, dict] = {}
    for path in args.images or sorted(Path("samples").glob("*.webp")):
        image = load_panorama(path)
        for name, code in cases(codec, image):
            rows[f"{path.stem} {name}"] = row = measured(codec, image, code)
            print(f"{path.stem:10} {name:22}", {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
    if args.baseline:
        compare(rows, json.loads(args.baseline.read_text()))


def compare(rows: dict[str, dict], before: dict[str, dict]) -> None:
    """Print the means over the panoramas: what changed."""
    names = dict.fromkeys(key.split(" ", 1)[1] for key in rows)
    print(f"{'':24}{'ΔVPSNR dB':>10}{'time':>14}{'quantised':>14}{'packed':>10}{'encoded':>10}")
    for name in names:
        pairs = [(row, before[key]) for key, row in rows.items() if key.split(" ", 1)[1] == name and key in before]
        if not pairs:
            continue
        gain = mean(new["vpsnr_db"] - old["vpsnr_db"] for new, old in pairs)
        figures = [
            "→".join(f"{mean(run[key] for run in runs):.1f}" for runs in ([o for _, o in pairs], [n for n, _ in pairs]))
            for key in ("seconds", "quantizations", "packs", "extractions")
        ]
        print(f"{name:24}{gain:>+10.3f}{figures[0]:>14}{figures[1]:>14}{figures[2]:>10}{figures[3]:>10}")


if __name__ == "__main__":
    main()
