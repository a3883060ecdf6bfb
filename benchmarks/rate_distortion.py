"""How good is a panorama at a given number of bits? Panolink's models against JPEG, WebP and AVIF.

    python benchmarks/rate_distortion.py FOLDER --width 1024
    python benchmarks/rate_distortion.py FOLDER --width 1024 --codec jpeg --codec webp --model base --bpp 0.1

Three answers. *Equal bits*: every image is coded at the best quality that fits each `--bpp` (where a codec
cannot go so low, its lowest is used, and the bits it really took are shown). *Same size*: each image by each
model once more, in as many bits as the other codec took for it there. *Fixed quality*: means over the images
at a few qualities, and BD-rate from them. Every byte counts: for Panolink the whole packet.

Results are kept per image and codec below `--cache`, so that an interrupted run goes on where it stopped.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

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
    """A codec under test: `measure` codes an image at a setting: "q=30", "bpp=0.1". `settings` are its curve."""

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


def points(subject: Subject, image: np.ndarray, settings: dict[str, str], cache: Path) -> Iterator[tuple[str, Point]]:
    """Points of one image, for each label its setting's, from the cache or measured and put there."""
    digest = hashlib.sha256(image.tobytes()).hexdigest()[:16]
    file = cache / f"{image.shape[1]}x{image.shape[0]}-{digest}" / f"{subject.version}.json"
    known: dict[str, dict] = json.loads(file.read_text()) if file.exists() else {}
    for label, setting in settings.items():
        if setting not in known:
            known[setting] = asdict(subject.measure(image, setting))
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(known, indent=1))
            partial.replace(file)
        yield label, Point(**known[setting])


def means(measured: dict[str, dict[str, list[Point]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Means over images by codec and setting, and how many images reached the rate that was asked for."""

    def mean(images: list[Point]) -> dict[str, float]:
        columns = {c: float(np.mean([getattr(p, c) for p in images])) for c in ("bpp", "vpsnr_db", "vssim")}
        return columns | {"images": len(images), "reached": sum(p.reached for p in images)}

    return {name: {k: mean(v) for k, v in settings.items()} for name, settings in measured.items()}


def curve(settings: dict[str, dict]) -> list[dict]:
    """The points to draw: fixed qualities where there are any, else the targets that were reached by all."""
    swept = [point for setting, point in settings.items() if setting.startswith("q=")]
    return swept or [point for point in settings.values() if point["reached"] == point["images"]]


def bd_rates(curves: dict[str, list[dict]]) -> dict[str, dict[str, float | None]]:
    """BD-rate in percent against the anchor, by codec and measure; None where curves do not meet."""
    anchor = curves.get(ANCHOR, [])

    def compare(tested: list[dict], measure: str) -> float | None:
        if min(len(anchor), len(tested)) < 2:
            return None
        percent = bd_rate(*([p[column] for p in c] for c in (anchor, tested) for column in ("bpp", measure)))
        return None if math.isnan(percent) else percent

    return {name: {m: compare(c, m) for m in ("vpsnr_db", "vssim")} for name, c in curves.items()}


def sized(panorama: Panorama, width: int | None) -> np.ndarray:
    image = panorama.array
    if width is None or width == image.shape[1]:
        return image
    return np.array(Image.fromarray(image).resize((width, width // 2), Image.Resampling.LANCZOS))


def report(console: Console, result: dict[str, Any]) -> None:
    """Tables of what `main` found out."""
    for title, part, kind in (("Equal bits", "means", "bpp="), ("Fixed quality", "means", "q=")):
        table = Table("codec", "asked", "bpp", "VPSNR dB", "VSSIM", "images", title=title)
        for name, settings in result[part].items():
            for setting, p in settings.items():
                if setting.startswith(kind):
                    images = f"{p['reached']}/{p['images']}"
                    table.add_row(name, setting, f"{p['bpp']:.4f}", *_quality(p), images)
            table.add_section()
        console.print(table)
    table = Table("codec", "size of", "bpp", "VPSNR dB", "VSSIM", "that one's", title="Same size, image by image")
    for name, rivals in result["same_size"].items():
        for rival, p in rivals.items():
            other, setting = rival.split()
            theirs = " / ".join(_quality(result["means"][other][setting]))
            table.add_row(name, rival, f"{p['bpp']:.4f}", *_quality(p), theirs)
        table.add_section()
    if table.row_count:
        console.print(table)
    table = Table("codec", "by VPSNR", "by VSSIM", title=f"BD-rate against {ANCHOR}")
    for name, by_measure in result["bd_rate_percent"].items():
        table.add_row(name, *("–" if v is None else f"{v:+.1f} %" for v in by_measure.values()))
    console.print(table)


def _quality(point: dict[str, float]) -> tuple[str, str]:
    return f"{point['vpsnr_db']:.2f}", f"{point['vssim']:.4f}"


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of panoramas.", exists=True, file_okay=False)],
    width: Annotated[int | None, typer.Option(help="Scale to this width first (Lanczos).")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images, sorted by name.")] = None,
    codec: Annotated[list[str], typer.Option(help=f"One of {', '.join(BASELINES)}.")] = CODECS,
    model_names: Annotated[list[str], typer.Option("--model", help="A model's name or file.")] = MODELS,
    bpp: Annotated[list[float], typer.Option(help="Targets in bits per pixel.")] = TARGETS,
    cache: Annotated[Path, typer.Option(help="Where results are kept.")] = Path(".cache/rate_distortion"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Rate and quality of codecs over a folder of panoramas."""
    console = Console(stderr=True)
    if unknown := [name for name in codec if name not in BASELINES]:
        raise typer.BadParameter(f"unknown codec {unknown[0]!r}; there are {', '.join(BASELINES)}")
    try:
        baselines, models = [baseline(BASELINES[n], bpp) for n in codec], [model(n, bpp) for n in model_names]
    except ModelError as error:
        raise typer.BadParameter(str(error)) from None
    points_of: dict[str, dict[str, list[Point]]] = {s.name: {} for s in baselines + models}
    same_size: dict[str, dict[str, list[Point]]] = {s.name: {} for s in models}
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)[:limit]
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        work = sum(len(s.settings) for s in baselines + models) + len(models) * len(baselines) * len(bpp)
        task = progress.add_task("measuring", total=len(images) * work)

        def store(found: Iterator[tuple[str, Point]], into: dict[str, list[Point]]) -> None:
            for label, point in found:
                into.setdefault(label, []).append(point)
                progress.advance(task)

        for number, panorama in enumerate(panoramas_in(images), start=1):
            if isinstance(panorama, Failure):
                console.print(f"skipped: {panorama.error}")
                progress.update(task, completed=number * work)
                continue
            image = sized(panorama, width)
            progress.update(task, description=Path(panorama.name).stem)

            for subject in baselines + models:
                settings = {setting: setting for setting in subject.settings}
                store(points(subject, image, settings, cache), points_of[subject.name])
            rivals = [(b.name, f"bpp={target:g}") for b in baselines for target in bpp]
            sizes = {f"{name} {asked}": points_of[name][asked][-1].bpp for name, asked in rivals}
            for subject in models:
                settings = {rival: f"bpp={size:g}" for rival, size in sizes.items()}
                store(points(subject, image, settings, cache), same_size[subject.name])
    result: dict[str, Any] = {"width": width, "means": means(points_of), "same_size": means(same_size)}
    result["bd_rate_percent"] = bd_rates({name: curve(s) for name, s in result["means"].items()})
    if as_json:
        print(json.dumps(result))
    else:
        report(Console(), result)


if __name__ == "__main__":
    typer.run(main)
