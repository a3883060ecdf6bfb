"""How good is a panorama at a given number of bits? Panolink's models against the codecs that people use.

    python benchmarks/codec/rate_distortion.py FOLDER --width 1024
    python benchmarks/codec/rate_distortion.py FOLDER --width 1024 --codec jpeg --codec vvc --model base --bpp 0.1
    python benchmarks/codec/rate_distortion.py TRAINING_FOLDER --validation --width 1024 --model base

Three answers. *Equal bits*: every image is coded at the best quality that fits each `--bpp` (where a codec
cannot go so low, its lowest is used, and the bits it really took are shown). *Same size*: each image by each
model once more, in as many bits as the other codec took for it there. *Fixed quality*: means over the images
at a few qualities, and BD-rate from them, with 95 % intervals over images. Every byte counts: for Panolink the
whole packet.

Results are kept per image and codec below `--cache`, so that an interrupted run goes on where it stopped.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.codec.rate_distortion_summary import ANCHOR, Measured, bd_rates, head_to_head, means
from benchmarks.lib.panoramas import at_width, picture_files
from benchmarks.lib.quality_measures import DEFAULT_MEASURES, MEASURES
from benchmarks.lib.rate_points import BASELINES, CachedCodec, Point, Subject, baseline, model, points
from panolink.errors import ModelError, PanolinkError
from panolink.images import Failure, panoramas_in
from panolink.training.data import validation_files

CODECS = ["jpeg", "webp", "avif-s6"]
MODELS: list[str] = []
TARGETS = [0.05, 0.1, 0.2]
DEFAULT: list[str] = list(DEFAULT_MEASURES)


def report(console: Console, result: dict[str, Any], measures: list[str]) -> None:
    """Tables of what `main` found out."""
    labels = [MEASURES[name].label for name in measures]
    for title, kind in (("Equal bits", "bpp="), ("Fixed quality", "q=")):
        table = Table("codec", "asked", "bpp", *labels, "images", title=title)
        for name, settings in result["means"].items():
            for setting, p in settings.items():
                if setting.startswith(kind):
                    table.add_row(
                        name, setting, f"{p['bpp']:.4f}", *_scores(p, measures), f"{p['reached']}/{p['images']}"
                    )
            table.add_section()
        if table.row_count:
            console.print(table)
    table = Table("codec", "size of", "bpp", *labels, "that one's", title="Same size, image by image")
    for name, rivals in result["same_size"].items():
        for rival, p in rivals.items():
            other, setting = rival.split()
            theirs = " / ".join(_scores(result["means"][other][setting], measures))
            table.add_row(name, rival, f"{p['bpp']:.4f}", *_scores(p, measures), theirs)
        table.add_section()
    if table.row_count:
        console.print(table)
    table = Table("codec", *(f"by {label}" for label in labels), title=f"BD-rate against {ANCHOR}, %")
    for name, by_measure in result["bd_rate"].items():
        table.add_row(name, *(_interval(percent) for percent in by_measure.values()))
    for name, against in result["head_to_head"].items():
        for other, by_measure in against.items():
            if other != ANCHOR:
                table.add_row(f"{name} against {other}", *(_interval(percent) for percent in by_measure.values()))
    if table.row_count:
        console.print(table)


def _interval(percent: dict[str, float] | None) -> str:
    return "–" if percent is None else "{percent:+.1f} ({low:+.1f} … {high:+.1f})".format(**percent)


def _scores(point: dict[str, float], measures: list[str]) -> list[str]:
    return [f"{point[name]:.{MEASURES[name].digits}f}" for name in measures]


def compare(
    images: Sequence[Path],
    width: int | None,
    baselines: Sequence[Subject],
    models: Sequence[Subject],
    bpp: Sequence[float],
    measures: Sequence[str],
    cache: Path,
    console: Console,
    rivals: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What the three answers rest on: ``means`` by codec and setting, ``same_size`` by model and what it is compared
    with (``rivals``, or all baselines), ``bd_rate`` by codec and measure, ``head_to_head`` by model, baseline and
    measure. Files that cannot be read are told on ``console``, left out, and named in ``skipped``."""
    asked = [
        (b.name, setting)
        for b in baselines
        for setting in b.settings
        if not setting.startswith("q=") and (rivals is None or b.name in rivals)
    ]
    points_of: Measured = {s.name: {} for s in (*baselines, *models)}
    same_size: Measured = {s.name: {} for s in models}
    skipped: list[str] = []
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        work = sum(len(s.settings) for s in (*baselines, *models)) + len(models) * len(asked)
        task = progress.add_task("measuring", total=len(images) * work)

        def store(subject: Subject, image: np.ndarray, settings: dict[str, str], into: Measured) -> None:
            found: Iterator[tuple[str, Point]] = points(subject, image, settings, measures, cache)
            for label, point in found:
                into[subject.name].setdefault(label, []).append(point)
                progress.advance(task)

        for number, panorama in enumerate(panoramas_in(images), start=1):
            if isinstance(panorama, Failure):
                console.print(f"skipped: {panorama.error}")
                skipped.append(Path(panorama.name).name)
                progress.update(task, completed=number * work)
                continue
            image = at_width(panorama, width)
            progress.update(task, description=Path(panorama.name).stem)
            for subject in (*baselines, *models):
                store(subject, image, {setting: setting for setting in subject.settings}, points_of)
            sizes = {f"{name} {target}": points_of[name][target][-1].bpp for name, target in asked}
            for subject in models:
                store(subject, image, {rival: f"bpp={size:g}" for rival, size in sizes.items()}, same_size)
    found = {"width": width, "measures": list(measures), "targets": list(bpp), "skipped": skipped}
    rates = {"bd_rate": bd_rates(points_of), "head_to_head": head_to_head(points_of, [s.name for s in models])}
    return {**found, "means": means(points_of), "same_size": means(same_size), **rates}


def of_all(result: dict[str, Any]) -> dict[str, Any]:
    """What `compare` found; `PanolinkError` where files were left out: pages say of how many panoramas they are."""
    if skipped := result["skipped"]:
        raise PanolinkError(f"{', '.join(skipped)} could not be read: no page is written")
    return result


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of panoramas.", exists=True, file_okay=False)],
    width: Annotated[int | None, typer.Option(help="Scale to this width first (Lanczos).")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images, sorted by name.")] = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Only what training on FOLDER holds out to choose checkpoints.")
    ] = False,
    codec: Annotated[list[str], typer.Option(help=f"One of {', '.join(BASELINES)}, or none.")] = CODECS,
    model_names: Annotated[
        list[str],
        typer.Option("--model", help="A model's name or file, NAME:DECODER, NAME:REALISM, or NAME+medium, NAME+slow."),
    ] = MODELS,
    bpp: Annotated[list[float], typer.Option(help="Targets in bits per pixel.")] = TARGETS,
    measure: Annotated[list[str], typer.Option(help=f"One of {', '.join(MEASURES)}.")] = DEFAULT,
    rival: Annotated[
        list[str] | None, typer.Option(help="Codecs to whose sizes models code; all where left out, or none.")
    ] = None,
    sweep: Annotated[
        bool, typer.Option(help="Fixed qualities, too, on which BD-rates rest; without, on targets that all reached.")
    ] = True,
    cache: Annotated[Path, typer.Option(help="Where results are kept.")] = Path(".cache/rate_distortion"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Rate and quality of codecs over a folder of panoramas."""
    console = Console(stderr=True)
    codec = [name for name in codec if name != "none"]
    for given, known, what in ((codec, BASELINES, "codec"), (measure, MEASURES, "measure")):
        if unknown := [name for name in given if name not in known]:
            raise typer.BadParameter(f"unknown {what} {unknown[0]!r}; there are {', '.join(known)}")
    try:
        baselines = [baseline(CachedCodec(BASELINES[n], cache), bpp, sweep=sweep) for n in codec]
        models = [model(n, bpp, sweep=sweep) for n in model_names]
        images = validation_files(folder)[:limit] if validation else picture_files(folder, limit=limit)
    except ModelError as error:
        raise typer.BadParameter(str(error)) from None
    result = compare(images, width, baselines, models, bpp, measure, cache, console, rival)
    if as_json:
        print(json.dumps(result))
    else:
        report(Console(), result, measure)


if __name__ == "__main__":
    typer.run(main)
