"""How fast Panolink is on this machine: each stage and its floor, the codec, three services, and what stands beside it.

    python benchmarks/services/throughput.py samples/city.webp
    python benchmarks/services/throughput.py samples/city.webp --baseline ../another-checkout

All of it in one run, for only ratios within a run count on a machine that others share. The floor of a network is its
operations over the measured peak in bfloat16, that of another stage its features over the measured bandwidth. With
`--baseline` another checkout (a worktree of an earlier commit) is measured in turn, and ratios are printed. Files of
JPEG, WebP and AVIF are those of the best quality within the same bits, the search for which is not counted.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.codec.codec_speed import network_flops
from benchmarks.lib.echo import echoes_per_second
from benchmarks.lib.image_codecs import AVIF, JPEG, ImageCodec, WebP, bits_per_pixel, quality_at
from benchmarks.lib.timing import bandwidth, peak_flops, timer
from benchmarks.services.tree_speed import seconds_of
from panolink import Codec, load_panorama
from panolink.errors import RateError
from panolink.images.wire_pictures import decode_picture, encode_picture
from panolink.picture_format import PictureFormat

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = ("extract", "reconstruct")


def tree_speed(root: Path, file: Path, bpp: float, runs: int, count: int) -> dict[str, Any]:
    """What `benchmarks.services.tree_speed` finds for the checkout at ``root``."""
    command = [sys.executable, str(Path(__file__).with_name("tree_speed.py")), str(file), "--root", str(root)]
    command += ["--bpp", str(bpp), "--runs", str(runs), "--count", str(count)]
    env = {**os.environ, "PYTHONPATH": str(root.resolve() / "shared")}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def floors(image: np.ndarray) -> dict[str, float]:
    """Least seconds of each stage on this machine."""
    codec = Codec.load("base", device="cpu")
    peak, bytes_a_second = peak_flops(codec.device), bandwidth()
    (features,) = codec.extract([image])
    least = features.numel() * features.element_size() / bytes_a_second
    found = {name: flops / peak for name, flops in network_flops(codec, image).items()}
    return found | dict.fromkeys(("quantize", "pack", "unpack"), least)


def shares(found: dict[str, Any], least: dict[str, float]) -> dict[str, Any]:
    """What is derived from a tree's seconds: share outside the networks, floors' shares, and what services lose."""
    seconds = found["codec_seconds"]
    outside = 1 - sum(seconds[name] for name in NETWORKS) / seconds["total"]
    derived: dict[str, Any] = {
        "outside_networks": round(outside, 3),
        "floor_share": {name: round(least[name] / seconds[name], 3) for name in least},
    }
    if "services" in found:
        stream = found["services"]["received"]["stream"]
        alone = found["services"]["received"]["alone"]
        stages = alone["stage_seconds"]
        work = sum(value for name, value in stages.items() if name not in ("total", "queue"))
        derived["services_over_codec"] = round(stream["panoramas_per_second"] * seconds["total"], 3)
        derived["latency_over_stages"] = round(alone["latency_seconds"]["p50"] / work, 3)
    return derived


def image_codecs(image: np.ndarray, bpp: float, runs: int) -> dict[str, Any]:
    """Median seconds of encoding and decoding by Pillow's codecs on one thread."""
    found, timed = {}, timer(torch.device("cpu"), runs)
    codecs: list[ImageCodec] = [JPEG(), WebP(), *(AVIF(speed=speed) for speed in (4, 6, 8))]
    for codec in codecs:
        try:
            quality, data = quality_at(codec, image, bpp=bpp)
        except RateError as error:
            found[codec.name] = {"error": str(error)}
            continue
        encode, data = timed(lambda c=codec, q=quality: c.encode(image, quality=q))
        decode, _ = timed(lambda c=codec, d=data: c.decode(d))
        rate = round(bits_per_pixel(data, image), 4)
        found[codec.name] = {"bpp": rate, "encode_seconds": round(encode, 4), "decode_seconds": round(decode, 4)}
    return found


def wire_formats(image: np.ndarray, runs: int) -> dict[str, Any]:
    """CPU seconds of writing and reading a received picture in each format, and its bytes."""
    found = {}
    for format in PictureFormat:
        data = encode_picture(image, format)
        _, written = seconds_of(lambda f=format: encode_picture(image, f), runs)
        _, read = seconds_of(lambda d=data: decode_picture(d), runs)
        found[format.value] = {"encode_cpu_seconds": written, "decode_cpu_seconds": read, "bytes": len(data)}
    return found


def ratios(found: Any, baseline: Any) -> Any:
    """Figures over those of the baseline, where both have them."""
    if isinstance(found, dict):
        return {name: ratios(value, baseline[name]) for name, value in found.items() if name in baseline}
    return round(found / baseline, 3) if baseline else None


def rounded(found: Any) -> Any:
    """Figures with four digits behind the point."""
    if isinstance(found, dict):
        return {name: rounded(value) for name, value in found.items()}
    return round(found, 4) if isinstance(found, float) else found


def main(
    panorama: Annotated[Path, typer.Argument(help="A panorama; it is scaled to each width.")],
    width: Annotated[list[int] | None, typer.Option(help="Widths in pixels [default: 1024, 2048].")] = None,
    bpp: Annotated[float, typer.Option(help="Target in bits per pixel.")] = 0.1,
    runs: Annotated[int, typer.Option(min=1, help="Calls of each stage.")] = 7,
    count: Annotated[int, typer.Option(min=0, help="Panoramas through the services; 0: none.")] = 20,
    baseline: Annotated[Path | None, typer.Option(help="Another checkout, measured in turn.")] = None,
) -> None:
    """One JSON object a width."""
    original = Image.fromarray(load_panorama(panorama))
    for pixels in width or (1024, 2048):
        picture = original.resize((pixels, pixels // 2), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=95)
        with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
            file.write(buffer.getvalue())
            file.flush()
            image = load_panorama(file.name)
            found = {"": tree_speed(ROOT, Path(file.name), bpp, runs, count)}
            if baseline:
                found["baseline"] = tree_speed(baseline, Path(file.name), bpp, runs, count)
        least = floors(image)
        report: dict[str, Any] = {"width": pixels, "bpp": bpp, "floor_seconds": rounded(least)}
        report |= rounded(found[""]) | shares(found[""], least)
        report["echo_per_second"] = round(asyncio.run(echoes_per_second(buffer.getvalue(), runs)), 1)
        report["wire_formats"] = rounded(wire_formats(image, runs))
        report["beside"] = image_codecs(image, bpp, max(1, runs // 2))
        if "avif-s4" in report["beside"] and "encode_seconds" in report["beside"]["avif-s4"]:
            avif = report["beside"]["avif-s4"]["encode_seconds"]
            report["codec_over_avif_s4_encode"] = round(found[""]["codec_seconds"]["total"] / avif, 3)
        if baseline:
            report["baseline"] = rounded(found["baseline"]) | shares(found["baseline"], least)
            report["over_baseline"] = ratios(found[""], found["baseline"])
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    typer.run(main)
