"""How good is a panorama at a given number of bits? Panolink's models against JPEG, WebP and AVIF.

    python benchmarks/rate_distortion.py FOLDER --width 1024
    python benchmarks/rate_distortion.py FOLDER --width 1024 --codec jpeg --codec webp --model base --bpp 0.1

Two answers. *Equal bits*: every image is coded at the best quality that fits each `--bpp` (where a codec
cannot go so low, its lowest is used, and the bits it really took are shown). *Fixed quality*: means over
the images at a few qualities, and BD-rate from them. Every byte counts: for Panolink the whole packet.

Results are kept per image and codec below `--cache`, so that an interrupted run goes on where it stopped.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import panolink
from benchmarks.baselines import BASELINES, ImageCodec, bits_per_pixel, encode_at
from panolink.errors import ModelError, RateError
from panolink.images import IMAGE_SUFFIXES, Failure, Panorama, panoramas_in
from panolink.metrics.bdrate import bd_rate
from panolink.metrics.viewport import viewport_scores

ANCHOR = "jpeg"
CODECS = ["jpeg", "webp", "avif-s6"]
MODELS: list[str] = []
TARGETS = [0.05, 0.1, 0.2]


@dataclass(frozen=True)
class Point:
    """One image at one setting. `reached` is false where a codec could not go as low as was asked."""

    bpp: float
    vpsnr_db: float
    vssim: float
    reached: bool = True


@dataclass(frozen=True)
class Subject:
    """A codec under test: `measure` codes an image at each of `settings` ("q=30", "bpp=0.1")."""

    name: str
    version: str
    settings: tuple[str, ...]
    measure: Callable[[np.ndarray, str], Point]


def baseline(codec: ImageCodec, targets: list[float]) -> Subject:
    """A codec at the qualities of its sweep, and at each target in bits per pixel."""

    def measure(image: np.ndarray, setting: str) -> Point:
        kind, value = setting.split("=")
        reached = True
        if kind == "q":
            data = codec.encode(image, quality=int(value))
        else:
            try:
                data = encode_at(codec, image, bpp=float(value))
            except RateError:
                data, reached = codec.encode(image, quality=codec.qualities[0]), False
        return judge(image, codec.decode(data), data, reached)

    settings = [f"q={q}" for q in codec.sweep] + [f"bpp={bpp:g}" for bpp in targets]
    return Subject(codec.name, codec.version, tuple(settings), measure)


def model(name: str, targets: list[float]) -> Subject:
    """A model of Panolink at each target; its curve is drawn through these."""
    codec = panolink.Codec.load(name)

    def measure(image: np.ndarray, setting: str) -> Point:
        target, reached = float(setting.removeprefix("bpp=")), True
        try:
            packet = codec.encode(image, bpp=target)
        except RateError:
            packet, reached = codec.encode(image, tau=0.0), False
        return judge(image, codec.decode(packet), packet.to_bytes(), reached)

    settings = tuple(f"bpp={bpp:g}" for bpp in targets)
    return Subject(name, f"{Path(name).stem}-{codec.fingerprint}", settings, measure)


def judge(image: np.ndarray, decoded: np.ndarray, data: bytes, reached: bool) -> Point:
    scores = viewport_scores(image, decoded)
    return Point(bits_per_pixel(data, image), scores.vpsnr_db, scores.vssim, reached)


def points(subject: Subject, image: np.ndarray, cache: Path) -> Iterator[tuple[str, Point]]:
    """Points of one image from the cache, or measured and put there one by one."""
    digest = hashlib.sha256(image.tobytes()).hexdigest()[:16]
    file = cache / f"{image.shape[1]}x{image.shape[0]}-{digest}" / f"{subject.version}.json"
    known: dict[str, dict] = json.loads(file.read_text()) if file.exists() else {}
    for setting in subject.settings:
        if setting not in known:
            known[setting] = asdict(subject.measure(image, setting))
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(known, indent=1))
            partial.replace(file)
        yield setting, Point(**known[setting])


def mean(measured: list[Point]) -> dict[str, float | int]:
    """Means over images, and how many of them reached the rate that was asked for."""
    columns = ("bpp", "vpsnr_db", "vssim")
    means = {c: float(np.mean([getattr(point, c) for point in measured])) for c in columns}
    return means | {"images": len(measured), "reached": sum(point.reached for point in measured)}


def curve(means: dict[str, dict]) -> list[dict]:
    """The points to draw: fixed qualities where there are any, else the targets that were reached by all."""
    swept = [point for setting, point in means.items() if setting.startswith("q=")]
    return swept or [point for point in means.values() if point["reached"] == point["images"]]


def bd_rates(curves: dict[str, list[dict]]) -> dict[str, dict[str, float]]:
    """BD-rate in percent against the anchor, by codec and measure; NaN where curves do not meet."""
    anchor = curves.get(ANCHOR, [])

    def compare(tested: list[dict], measure: str) -> float:
        if min(len(anchor), len(tested)) < 2:
            return math.nan
        return bd_rate(*([p[column] for p in c] for c in (anchor, tested) for column in ("bpp", measure)))

    return {name: {m: compare(c, m) for m in ("vpsnr_db", "vssim")} for name, c in curves.items()}


def sized(panorama: Panorama, width: int | None) -> np.ndarray:
    image = panorama.array
    if width is None or width == image.shape[1]:
        return image
    return np.array(Image.fromarray(image).resize((width, width // 2), Image.Resampling.LANCZOS))


def report(
    console: Console, means: dict[str, dict[str, dict]], differences: dict[str, dict[str, float]]
) -> None:
    for title, kind in (("Equal bits", "bpp="), ("Fixed quality", "q=")):
        table = Table("codec", "asked", "bpp", "VPSNR dB", "VSSIM", "images", title=title)
        for name, settings in means.items():
            for setting, p in settings.items():
                if setting.startswith(kind):
                    reached = f"{p['reached']}/{p['images']}" if kind == "bpp=" else f"{p['images']}"
                    numbers = f"{p['bpp']:.4f}", f"{p['vpsnr_db']:.2f}", f"{p['vssim']:.4f}"
                    table.add_row(name, setting, *numbers, reached)
            table.add_section()
        console.print(table)
    table = Table("codec", "by VPSNR", "by VSSIM", title=f"BD-rate against {ANCHOR}")
    for name, by_measure in differences.items():
        table.add_row(name, *("–" if math.isnan(v) else f"{v:+.1f} %" for v in by_measure.values()))
    console.print(table)


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of panoramas.")],
    width: Annotated[int | None, typer.Option(help="Scale to this width first (Lanczos).")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images, sorted by name.")] = None,
    codec: Annotated[list[str], typer.Option(help=f"One of {', '.join(BASELINES)}.")] = CODECS,
    models: Annotated[list[str], typer.Option("--model", help="A model's name or file.")] = MODELS,
    bpp: Annotated[list[float], typer.Option(help="Targets in bits per pixel.")] = TARGETS,
    cache: Annotated[Path, typer.Option(help="Where results are kept.")] = Path(".cache/rate_distortion"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Rate and quality of codecs over a folder of panoramas."""
    console = Console(stderr=True)
    if unknown := [name for name in codec if name not in BASELINES]:
        raise typer.BadParameter(f"unknown codec {unknown[0]!r}; there are {', '.join(BASELINES)}")
    try:
        subjects = [baseline(BASELINES[name], bpp) for name in codec] + [model(name, bpp) for name in models]
    except ModelError as error:
        raise typer.BadParameter(str(error)) from None
    measured: dict[str, dict[str, list[Point]]] = {s.name: {k: [] for k in s.settings} for s in subjects}
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)[:limit]
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("measuring", total=len(images) * sum(len(s.settings) for s in subjects))
        for panorama in panoramas_in(images):
            if isinstance(panorama, Failure):
                console.print(f"skipped: {panorama.error}")
                progress.advance(task, sum(len(s.settings) for s in subjects))
                continue
            image = sized(panorama, width)
            for subject in subjects:
                progress.update(task, description=f"{Path(panorama.name).stem} {subject.name}")
                for setting, point in points(subject, image, cache):
                    measured[subject.name][setting].append(point)
                    progress.advance(task)
    means = {name: {k: mean(v) for k, v in by_setting.items() if v} for name, by_setting in measured.items()}
    differences = bd_rates({name: curve(settings) for name, settings in means.items()})
    if as_json:
        finite = {n: {k: None if math.isnan(v) else v for k, v in d.items()} for n, d in differences.items()}
        print(json.dumps({"width": width, "means": means, "bd_rate_percent": finite}))
    else:
        report(Console(), means, differences)


if __name__ == "__main__":
    typer.run(main)
