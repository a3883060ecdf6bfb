"""Is there a seam at ±180°? The error beside the meridian against the error of the same pixels elsewhere.

    python benchmarks/codec/seam.py samples/ --model base --bpp 0.1

A panorama is turned about its axis by whole tokens, coded, decoded and turned back, many times over, so that the edge
of the picture runs through another part of it each time. `ratio`: what is in a picture makes errors differ a
hundredfold from place to place, so each strip beside the edge is compared with *the same strip* in the turns in which
the edge was far away. A codec that knows that a panorama has no edge gives 1. Tokens have edges of their
own, so the picture is turned by whole ones, and ``--reduction`` is fixed. `plain_ratio`: the columns at the edge
against the same columns of all other tokens in the same picture, over all turns. Prints JSON.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.panoramas import at_width, picture_files
from panolink import Codec
from panolink.errors import PanolinkError
from panolink.images import Failure, panoramas_in
from panolink.sphere.latitude import latitude_weights

RESAMPLINGS = 2000
TARGETS = [0.05, 0.1, 0.2]


@dataclass(frozen=True)
class Seam:
    """Weighted squared errors (turns,) of a panorama: ``beside`` the edge, and of the same pixels with the edge
    ``elsewhere``; ``columns`` at the edge, and ``alike``, the same columns of all other tokens in the same turn."""

    beside: np.ndarray
    elsewhere: np.ndarray
    columns: np.ndarray
    alike: np.ndarray


def column_errors(image: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Squared error of each column (W,) of two uint8 (H, W, 3), rows weighted by cos(latitude)."""
    weights = latitude_weights(image.shape[0]).double().numpy()
    squared = ((image.astype(np.float64) - decoded) ** 2).mean(axis=2)
    return weights @ squared / weights.sum()


def measure(
    code: Callable[[np.ndarray], np.ndarray], image: np.ndarray, *, factor: int, turns: int, strip: int
) -> Seam:
    """Errors of ``code`` (image → decoded image) in ``turns`` turns by multiples of ``factor`` columns, in ``strip``
    columns on each side of the edge."""
    width = image.shape[1]
    shifts = np.arange(turns) * (width // factor) // turns * factor
    edge = np.arange(-strip, strip)
    errors = []  # of each turn, by the picture's own columns
    for shift in shifts:
        decoded = code(np.ascontiguousarray(np.roll(image, shift, axis=1)))
        errors.append(column_errors(image, np.roll(decoded, -shift, axis=1)))
    beside, elsewhere, columns, alike = [], [], [], []
    for turn, shift in enumerate(shifts):
        here = (edge - shift) % width
        others = [errors[t][here].mean() for t in range(turns) if t != turn]
        beside.append(errors[turn][here].mean())
        elsewhere.append(np.mean(others))
        borders = np.roll(errors[turn], shift + strip).reshape(-1, factor)[:, : 2 * strip].mean(axis=1)
        columns.append(borders[0])
        alike.append(borders[1:].mean())
    return Seam(*(np.array(values) for values in (beside, elsewhere, columns, alike)))


def summary(seams: list[Seam], *, seed: int = 0) -> dict[str, float]:
    """The ratio of ``beside`` to ``elsewhere`` over all panoramas, with a 95 % interval by resampling their turns, and
    of ``columns`` to ``alike``."""
    beside, elsewhere = (np.concatenate([getattr(s, name) for s in seams]) for name in ("beside", "elsewhere"))
    draws = np.random.default_rng(seed).integers(len(beside), size=(RESAMPLINGS, len(beside)))
    low, high = np.percentile(beside[draws].sum(axis=1) / elsewhere[draws].sum(axis=1), [2.5, 97.5])
    columns, alike = (np.concatenate([getattr(s, name) for s in seams]) for name in ("columns", "alike"))
    return {
        "ratio": float(beside.sum() / elsewhere.sum()),
        "low": float(low),
        "high": float(high),
        "plain_ratio": float(columns.sum() / alike.sum()),
    }


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of panoramas.", exists=True, file_okay=False)],
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
    bpp: Annotated[list[float], typer.Option(help="Targets in bits per pixel.")] = TARGETS,
    width: Annotated[int | None, typer.Option(help="Scale to this width first (Lanczos).")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images, sorted by name.")] = None,
    turns: Annotated[int, typer.Option(min=2, help="How often each panorama is turned.")] = 64,
    strip: Annotated[int, typer.Option(min=1, max=8, help="Columns on each side of the edge.")] = 4,
    reduction: Annotated[int, typer.Option(min=1, help="Factor by which sides are reduced before coding.")] = 1,
) -> None:
    """Error at the ±180° meridian against the error elsewhere."""
    console = Console(stderr=True)
    try:
        codec = Codec.load(model)
    except PanolinkError as error:
        raise typer.BadParameter(str(error)) from None
    files = picture_files(folder, limit=limit)
    seams: dict[float, list[Seam]] = {target: [] for target in bpp}
    for panorama in track(panoramas_in(files), total=len(files), console=console, description="turning"):
        if isinstance(panorama, Failure):
            console.print(f"skipped: {panorama.error}")
            continue
        image = at_width(panorama, width)
        factor = reduction * codec.model.profile.factor
        if image.shape[1] % factor:
            raise typer.BadParameter(f"{panorama.name} is {image.shape[1]} wide; a multiple of {factor} can be turned")
        for target, found in seams.items():

            def code(turned: np.ndarray, target: float = target) -> np.ndarray:
                return codec.decode(codec.encode(turned, bpp=target, reduction=Fraction(reduction)))

            found.append(measure(code, image, factor=factor, turns=turns, strip=strip))
    if not all(seams.values()):
        raise typer.BadParameter(f"{folder}: no panorama in it")
    found = {f"bpp={target:g}": summary(of) for target, of in seams.items()}
    print(json.dumps({"model": codec.name, "images": len(next(iter(seams.values()))), "turns": turns, **found}))


if __name__ == "__main__":
    typer.run(main)
