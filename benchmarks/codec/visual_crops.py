"""The visual comparison: a page of crops, side by side at equal bytes.

    python benchmarks/codec/visual_crops.py samples/*.webp out.png --codec jpeg --codec avif-s4 --model base --bpp 0.1
    python benchmarks/codec/visual_crops.py PANORAMA@610,300 crops.png --model base --model other.safetensors

A row for each panorama: the whole of it with the crop outlined, the crop of the original, and of what each codec makes
of it. Panoramas are coded whole, at the best quality that fits `--bpp`; a codec that cannot go so low shows its
smallest file. Without `@X,Y`, its centre in pixels, the crop is the window within 45° of the horizon that holds the
most detail.
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.image_codecs import bits_per_pixel
from benchmarks.lib.panoramas import at_width
from benchmarks.lib.quality_measures import DEFAULT_MEASURES, MEASURES, Reference
from benchmarks.lib.rate_points import BASELINES, CachedCodec, Subject, baseline, model
from panolink.errors import ModelError, PanolinkError
from panolink.images import Panorama, load_panorama

CODECS = ["jpeg", "webp", "avif-s4"]
MODELS = ["base"]
SCORES = list(DEFAULT_MEASURES)
BAR, GAP = 34, 4
OUTLINE = (255, 64, 64)


def busiest(image: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """Centre (x, y) of the window of ``size`` (width, height) with the largest sum of gradients, within 45° of the
    horizon."""
    grey = image.astype(float).mean(axis=2)
    gradient = np.abs(np.diff(grey, axis=1, append=grey[:, :1])) + np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    # Bright surfaces have larger gradients than dark ones with as much to see.
    summed = np.pad(np.sqrt(gradient), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    (width, height), (rows, cols) = size, grey.shape
    lowest, highest = rows // 4, max(rows * 3 // 4 - height, rows // 4)
    tops = np.arange(lowest, highest + 1, 8)[:, None]
    lefts = np.arange(0, cols - width + 1, 8)
    inside = summed[tops + height, lefts + width] - summed[tops, lefts + width]
    inside += summed[tops, lefts] - summed[tops + height, lefts]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return int(lefts[left]) + width // 2, int(tops[top, 0]) + height // 2


def window(image: np.ndarray, centre: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The pixels of ``size`` (width, height) around a centre (x, y); columns go on around the sphere."""
    left, top = corner(image, centre, size)
    columns = np.arange(left, left + size[0]) % image.shape[1]
    return image[top : top + size[1], columns]


def corner(image: np.ndarray, centre: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The left column and the top row of a window of ``size`` around a centre; it stays below the upper pole and above
    the lower one."""
    (x, y), (width, height) = centre, size
    return (x - width // 2) % image.shape[1], min(max(y - height // 2, 0), image.shape[0] - height)


def cell(pixels: np.ndarray, shown: tuple[int, int], title: str, line: str) -> Image.Image:
    """Pixels at a size (width, height) with two lines below."""
    picture = Image.new("RGB", (shown[0], shown[1] + BAR), "white")
    picture.paste(Image.fromarray(pixels).resize(shown, Image.Resampling.BICUBIC))
    draw = ImageDraw.Draw(picture)
    draw.text((2, shown[1] + 2), title, "black", ImageFont.load_default(13))
    draw.text((2, shown[1] + 18), line, "dimgray", ImageFont.load_default(11))
    return picture


def overview(image: np.ndarray, centre: tuple[int, int], size: tuple[int, int], height: int, title: str) -> Image.Image:
    """The whole panorama, twice as wide as high, with the crop outlined."""
    scale = height / image.shape[0]
    picture = cell(image, (2 * height, height), title, f"{image.shape[1]} × {image.shape[0]}")
    left, top = corner(image, centre, size)
    for start in {left, left - image.shape[1]}:  # what goes on around the sphere is outlined on both sides
        corners = (start, top, start + size[0], top + size[1])
        ImageDraw.Draw(picture).rectangle([round(c * scale) for c in corners], outline=OUTLINE, width=2)
    return picture


def row(
    panorama: Panorama, centre: tuple[int, int], size: tuple[int, int], subjects: list[Subject], bpp: float, zoom: int
) -> list[Image.Image]:
    """The cells of one panorama."""
    reference, shown = Reference(panorama.array), (size[0] * zoom, size[1] * zoom)
    raw = f"{panorama.array.nbytes / 1000:,.0f} kB uncompressed"
    cells = [
        overview(panorama.array, centre, size, shown[1], panorama.name),
        cell(window(panorama.array, centre, size), shown, "original", raw),
    ]
    for subject in subjects:
        data, decoded, reached = subject.code(panorama.array, f"bpp={bpp:g}")
        scores = reference.measure(decoded, SCORES)
        smallest = "" if reached else ", its smallest"
        title = f"{subject.name}: {len(data) / 1000:.1f} kB, {bits_per_pixel(data, panorama.array):.3f} bpp{smallest}"
        line = ", ".join(f"{MEASURES[n].label} {scores[n]:.{MEASURES[n].digits}f}" for n in SCORES)
        cells.append(cell(window(decoded, centre, size), shown, title, line))
    return cells


def page(rows: list[list[Image.Image]]) -> Image.Image:
    """Rows of cells of equal height, one below the other."""
    height = rows[0][0].height + GAP
    whole = Image.new("RGB", (sum(c.width + GAP for c in rows[0]) - GAP, height * len(rows) - GAP), "white")
    for number, cells in enumerate(rows):
        x = 0
        for picture in cells:
            whole.paste(picture, (x, number * height))
            x += picture.width + GAP
    return whole


def main(
    panoramas: Annotated[list[str], typer.Argument(help="Panoramas, each with @X,Y behind it if that is the crop.")],
    picture: Annotated[Path, typer.Argument(help="The page to write: .webp, .png, .jpg.")],
    codec: Annotated[list[str], typer.Option(help=f"One of {', '.join(BASELINES)}, or none.")] = CODECS,
    model_names: Annotated[
        list[str], typer.Option("--model", help="A model's name or file, or NAME:DECODER or NAME:REALISM, or none.")
    ] = MODELS,
    bpp: Annotated[float, typer.Option(min=0.001, help="Target in bits per pixel.")] = 0.1,
    width: Annotated[int | None, typer.Option(help="Scale panoramas to this width first (Lanczos).")] = None,
    crop: Annotated[tuple[int, int], typer.Option(help="Width and height of a crop.")] = (144, 108),
    zoom: Annotated[int, typer.Option(min=1, help="How much larger crops are shown.")] = 2,
    quality: Annotated[int, typer.Option(min=0, max=100, help="Of the page, where its format is lossy.")] = 88,
    cache: Annotated[Path, typer.Option(help="Where files of other codecs are kept.")] = Path(".cache/rate_distortion"),
) -> None:
    """A page of crops at equal bytes."""
    if unknown := [name for name in codec if name not in (*BASELINES, "none")]:
        raise typer.BadParameter(f"unknown codec {unknown[0]!r}; there are {', '.join(BASELINES)}")
    try:
        subjects = [baseline(CachedCodec(BASELINES[name], cache), ()) for name in codec if name != "none"]
        subjects += [model(name, ()) for name in model_names if name != "none"]
        rows = []
        for given in panoramas:
            file, _, at = given.partition("@")
            image = at_width(Panorama(file, load_panorama(file)), width)
            if crop[0] > image.shape[1] or crop[1] > image.shape[0]:
                raise typer.BadParameter(f"{file}: a crop of {crop[0]}×{crop[1]} does not fit in it")
            x, y = (int(part) for part in at.split(",")) if at else busiest(image, crop)
            rows.append(row(Panorama(Path(file).stem, image), (x, y), crop, subjects, bpp, zoom))
    except ModelError as error:
        raise typer.BadParameter(str(error)) from None
    except (PanolinkError, ValueError) as error:
        raise typer.BadParameter(f"{error}") from None
    picture.parent.mkdir(parents=True, exist_ok=True)
    page(rows).save(picture, quality=quality)


if __name__ == "__main__":
    typer.run(main)
