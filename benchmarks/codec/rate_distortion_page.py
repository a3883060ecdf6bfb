"""The tables and curves of docs/rate_distortion.md, from one command.

    python benchmarks/codec/rate_distortion_page.py TEST_FOLDER --model base

measures what is missing (see rate_distortion.py: results are kept, so that it goes on where it stopped), writes what it
found as JSON below `--results`, draws the curves into docs/images, and puts the tables between the markers of the page:

    <!-- table NAME KIND [MEASURE] -->        written here, up to
    <!-- end -->

NAME is one of RUNS; KIND is `targets` (a measure at each target), `same-size`, `bd-rate`, `head-to-head` or
`image-by-image`. With `--run` only some runs are made; tables of the others stay as they are.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.codec.plot_rate_distortion import draw
from benchmarks.codec.rate_distortion import compare, of_all
from benchmarks.codec.rate_distortion_summary import ANCHOR
from benchmarks.lib import markdown_tables
from benchmarks.lib.markdown_tables import markdown
from benchmarks.lib.panoramas import picture_files
from benchmarks.lib.quality_measures import MEASURES
from benchmarks.lib.rate_points import BASELINES, CachedCodec, baseline, model
from panolink.errors import ModelError

PAGE = Path("docs/rate_distortion.md")
IMAGES = Path("docs/images")
FIDELITY = ("vpsnr_db", "vssim", "ws_psnr_db", "lpips")
PERCEPTUAL = ("lpips", "dists", "feature_distance")
ALL = ("jpeg", "webp", "avif-s6", "avif-s4", "avif-s4-psnr", "jxl", "jpeg2000", "vp9", "hevc", "vvc")
OF_CURVES = ("avif-s4-psnr",)
"""codecs of which BD-rates alone are wanted: they are coded at their fixed qualities, not at targets"""
TARGETS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6]
MODELS = ["base"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of rate_distortion.py. Networks of perceptual distances take seconds a picture, so that they look at
    targets only, not at sweeps, and at the codecs that matter."""

    width: int
    codecs: tuple[str, ...]
    measures: tuple[str, ...]
    rivals: tuple[str, ...]
    sweep: bool = True
    targets: tuple[float, ...] | None = None
    """None: what is asked for"""


Rate = dict[str, float] | None
"""of `bd_rates`"""

RUNS = {
    "1024": Run(width=1024, codecs=ALL, measures=FIDELITY, rivals=("jpeg", "webp", "avif-s4", "vvc")),
    "1024-perceptual": Run(
        width=1024,
        codecs=("jpeg", "webp", "avif-s4", "vvc"),
        measures=PERCEPTUAL,
        rivals=("avif-s4",),
        sweep=False,
        targets=(0.05, 0.1, 0.2, 0.4),
    ),
    "2048": Run(width=2048, codecs=("jpeg", "webp", "avif-s4", "avif-s4-psnr"), measures=FIDELITY, rivals=("avif-s4",)),
}


def targets_table(result: dict[str, Any], measure: str) -> str:
    """A row for each codec, a column for each target; where some images cannot go so low, what was used and by how many
    it was reached."""
    targets = [f"bpp={target:g}" for target in result["targets"]]
    kind = MEASURES[measure]

    def entry(point: dict[str, float]) -> str:
        score = f"{point[measure]:.{kind.digits}f}"
        missed = point["reached"] < point["images"]
        return f"{score} ({point['bpp']:.3f} bpp; {point['reached']}/{point['images']})" if missed else score

    better = "higher" if kind.higher_is_better else "lower"
    heads = [f"{target:g} bpp" for target in result["targets"]]
    asked = {name: settings for name, settings in result["means"].items() if all(t in settings for t in targets)}
    rows = [[name, *(entry(settings[t]) for t in targets)] for name, settings in asked.items()]
    return markdown([f"{kind.label} ({better} is better)", *heads], rows)


def same_size_table(result: dict[str, Any]) -> str:
    """Each model in as many bits as another codec took, image by image."""
    measures = result["measures"]
    labels = [f"{MEASURES[name].label}: its / ours" for name in measures]
    rows = []
    for name, rivals in result["same_size"].items():
        for rival, ours in rivals.items():
            other, setting = rival.split()
            its = result["means"][other][setting]
            both = [f"{its[m]:.{MEASURES[m].digits}f} / {ours[m]:.{MEASURES[m].digits}f}" for m in measures]
            rows.append([name, f"{other}, asked for {setting.removeprefix('bpp=')}", f"{ours['bpp']:.3f}", *both])
    return markdown(["model", "at the size of", "bpp", *labels], rows)


def bd_rate_table(result: dict[str, Any]) -> str:
    """BD-rates against the anchor, with 95 % intervals over images."""
    rows = {name: by for name, by in result["bd_rate"].items() if name != ANCHOR}
    return _rates(f"against {ANCHOR}", rows, result["measures"])


def head_to_head_table(result: dict[str, Any]) -> str:
    """BD-rates of the models against every other codec."""
    return _rates("", _pairs(result), result["measures"])


def _pairs(result: dict[str, Any]) -> dict[str, dict[str, Rate]]:
    """Rates by measure of each model against each other codec."""
    pairs = result["head_to_head"].items()
    return {f"{name} against {other}": by for name, against in pairs for other, by in against.items()}


def _over_curves(measure: str, rate: Rate) -> str:
    if rate is None:
        return "curves do not meet"
    percent = "{percent:+.1f} % ({low:+.1f} … {high:+.1f})".format(**rate).replace("-", "−")
    digits = min(MEASURES[measure].digits, 2)
    return f"{percent}, {rate['worst']:.{digits}f} to {rate['best']:.{digits}f}"


def _rates(
    head: str, rows: dict[str, dict[str, Rate]], measures: list[str], entry: Callable[[str, Rate], str] = _over_curves
) -> str:
    seen = [name for name in measures if any(name in by for by in rows.values())]
    cells = [[name, *(entry(m, by[m]) for m in seen)] for name, by in rows.items()]
    return markdown([head, *(f"by {MEASURES[m].label}" for m in seen)], cells)


def image_by_image_table(result: dict[str, Any]) -> str:
    """Means of the images' own BD-rates of the models against every other codec, with 95 % intervals."""
    return _rates("", _pairs(result), result["measures"], _image_by_image)


def _image_by_image(_measure: str, rate: Rate) -> str:
    if rate is None or "image_percent" not in rate:
        return "not all curves meet"
    return "{image_percent:+.1f} % ({image_low:+.1f} … {image_high:+.1f})".format(**rate).replace("-", "−")


KINDS: dict[str, Callable[..., str]] = {
    "image-by-image": image_by_image_table,
    "targets": targets_table,
    "same-size": same_size_table,
    "bd-rate": bd_rate_table,
    "head-to-head": head_to_head_table,
}


def filled(page: str, results: dict[str, dict[str, Any]]) -> str:
    """A page with its tables written anew; those of runs that are not in ``results`` stay."""

    def table(words: list[str]) -> str | None:
        name, kind, *rest = words
        return KINDS[kind](results[name], *rest) if name in results else None

    return markdown_tables.filled(page, table)


def main(
    folder: Annotated[Path, typer.Argument(help="The test panoramas.", exists=True, file_okay=False)],
    model_names: Annotated[
        list[str],
        typer.Option(
            "--model", help="A model's name or file, or NAME:DECODER or NAME:REALISM or NAME+medium, or none."
        ),
    ] = MODELS,
    codec: Annotated[list[str] | None, typer.Option(help="Only these of a run's codecs; all where left out.")] = None,
    bpp: Annotated[list[float], typer.Option(help="Targets in bits per pixel.")] = TARGETS,
    run: Annotated[list[str] | None, typer.Option(help=f"Only some of {', '.join(RUNS)}.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images, sorted by name.")] = None,
    page: Annotated[Path, typer.Option(help="Where the tables stand.")] = PAGE,
    images: Annotated[Path, typer.Option(help="Where curves are drawn to.")] = IMAGES,
    results: Annotated[Path, typer.Option(help="Where JSON is written to.")] = Path("results"),
    cache: Annotated[Path, typer.Option(help="Where points are kept.")] = Path(".cache/rate_distortion"),
) -> None:
    """Measure, draw, and write the tables."""
    console = Console(stderr=True)
    if unknown := [name for name in run or () if name not in RUNS]:
        raise typer.BadParameter(f"unknown run {unknown[0]!r}; there are {', '.join(RUNS)}")
    if unknown := [name for name in codec or () if name not in BASELINES]:
        raise typer.BadParameter(f"unknown codec {unknown[0]!r}; there are {', '.join(BASELINES)}")
    files = picture_files(folder, limit=limit)
    found = {}
    for name in run or RUNS:
        what = RUNS[name]
        targets = what.targets or bpp
        try:
            models = [model(m, targets, sweep=what.sweep) for m in model_names if m != "none"]
        except ModelError as error:
            raise typer.BadParameter(str(error)) from None
        chosen = [BASELINES[name] for name in what.codecs if not codec or name in codec]
        baselines = [
            baseline(CachedCodec(one, cache), () if one.name in OF_CURVES else targets, sweep=what.sweep)
            for one in chosen
        ]
        console.print(f"{name}: {len(files)} images at {what.width} pixels")
        arguments = (files, what.width, baselines, models, targets, what.measures, cache, console, what.rivals)
        found[name] = of_all(compare(*arguments))
        results.mkdir(parents=True, exist_ok=True)
        (results / f"rate-distortion-{name}.json").write_text(json.dumps(found[name], indent=1))
        draw(found[name]["means"], images / f"rate-distortion-{name}")
    page.write_text(filled(page.read_text(), found))


if __name__ == "__main__":
    typer.run(main)
