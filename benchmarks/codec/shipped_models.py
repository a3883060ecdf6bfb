"""What the shipped models promise of one another, in dB of VPSNR on full pictures.

    python benchmarks/codec/shipped_models.py samples/

- ``base`` is better than ``paper`` at every rate, on every panorama.
- At a given step, ranking tokens by quality per bit is better than the paper's activation map. Where the codec chooses
  the step as well, it sends all that pays, and there is little left to rank: never worse.
- At a low rate, the resolution that the codec chooses is better than the full one.

Prints JSON, and exits with 1 where a promise is broken. `tests/benchmarks/codec/test_shipped_models.py` is the short
form.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.panoramas import picture_files
from panolink import Codec
from panolink.codec.resolution import WHOLE
from panolink.images import Failure, panoramas_in
from panolink.metrics.viewport import vpsnr

Gain = Callable[[np.ndarray], float]
"""dB that one way of coding a panorama, uint8 (H, W, 3), is better than another"""


@dataclass(frozen=True)
class Promise:
    """A gain, in dB, with the least that it may be on any panorama and on average."""

    gain: Gain
    least_db: float
    mean_db: float

    def kept(self, gains: list[float]) -> bool:
        """Whether the gains of some panoramas keep the promise."""
        return min(gains) > self.least_db and float(np.mean(gains)) > self.mean_db


def promises(base: Codec, paper: Codec) -> dict[str, Promise]:
    """All promises by name, for the two shipped models."""
    found = {}
    for bpp in (0.1, 0.2, 0.4):
        found[f"base over paper at {bpp:g} bpp"] = Promise(_over_paper(base, paper, bpp), 0.0, 0.0)
    found["ranking over the paper's map, at a step"] = Promise(_ranking_gain(base, 0), 0.3, 1.0)
    found["ranking over the paper's map, at any step"] = Promise(_ranking_gain(base, None), -0.01, -0.005)
    found["chosen over full resolution at 0.03 bpp"] = Promise(_resolution_gain(base, 0.03), float("-inf"), 0.0)
    return found


def _over_paper(base: Codec, paper: Codec, bpp: float) -> Gain:
    return lambda image: _quality(base, image, bpp=bpp) - _quality(paper, image, bpp=bpp)


def _ranking_gain(codec: Codec, step: int | None) -> Gain:
    def gain(image: np.ndarray) -> float:
        ours, papers = (_quality(codec, image, bpp=0.1, step=step, ranking=ranking) for ranking in ("rate", "paper"))
        return ours - papers

    return gain


def _resolution_gain(codec: Codec, bpp: float) -> Gain:
    return lambda image: _quality(codec, image, bpp=bpp) - _quality(codec, image, bpp=bpp, reduction=WHOLE)


def _quality(codec: Codec, image: np.ndarray, **options: object) -> float:
    """VPSNR in dB of a panorama that is encoded with ``options`` of `Codec.encode`, and decoded."""
    return vpsnr(image, codec.decode(codec.encode(image, **options)))  # type: ignore[arg-type]


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of panoramas.", exists=True, file_okay=False)],
    limit: Annotated[int | None, typer.Option(help="Only the first N images, sorted by name.")] = None,
) -> None:
    """Measure what the shipped models promise, and fail where it is not so."""
    console = Console(stderr=True)
    made = promises(Codec.load("base"), Codec.load("paper"))
    files = picture_files(folder, limit=limit)
    gains: dict[str, list[float]] = {name: [] for name in made}
    for panorama in track(panoramas_in(files), total=len(files), console=console, description="measuring"):
        if isinstance(panorama, Failure):
            console.print(f"skipped: {panorama.error}")
            continue
        for name, promise in made.items():
            gains[name].append(promise.gain(panorama.array))
    if not all(gains.values()):
        raise typer.BadParameter(f"{folder}: no panorama in it")
    report = {
        name: {
            "least_db": round(min(gains[name]), 3),
            "mean_db": round(float(np.mean(gains[name])), 3),
            "kept": promise.kept(gains[name]),
        }
        for name, promise in made.items()
    }
    print(json.dumps({"images": len(next(iter(gains.values()))), **report}, indent=1))
    raise typer.Exit(not all(result["kept"] for result in report.values()))


if __name__ == "__main__":
    typer.run(main)
