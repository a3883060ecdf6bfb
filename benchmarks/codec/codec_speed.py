"""How long the codec takes, how much memory, and how much of the machine's peak it reaches.

    python benchmarks/codec/codec_speed.py samples/city.webp
    python benchmarks/codec/codec_speed.py PANORAMA --width 2048 --width 7680 --batch 1 --batch 8 --device cuda

One JSON object per width and batch, one of panoramas a second from pixels to bytes and back with several under way (on
a GPU with the networks recorded, whose seconds it has too), and one of what AVIF at speed 4 takes for the same panorama
at the same rate, with one thread and with as many as the networks have; `--no-avif` leaves it out. `--effort` adds how
long an encoder takes that tries for longer. Stages: `extract` and `reconstruct` run the networks (pixels to and from
the device included), `quantize` chooses what is sent, `pack` and `unpack` code it.
Multiply–adds count as two operations; the machine's peak is measured in the same run, as a large product of
matrices (in bfloat16 where the device has it).
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.image_codecs import AVIF, bits_per_pixel, quality_at
from benchmarks.lib.timing import peak_flops, timer
from panolink import Codec, Packet, load_panorama
from panolink.codec.effort import Effort
from panolink.errors import RateError


def network_flops(codec: Codec, image: np.ndarray) -> dict[str, float]:
    """Operations of encoder and decoder for one panorama."""
    count = {}
    (features,) = codec.extract([image])
    tokens = codec.quantize(features, size=(image.shape[0], image.shape[1]))
    for name, call in (
        ("extract", lambda: codec.extract([image])),
        ("reconstruct", lambda: codec.reconstruct([tokens])),
    ):
        with FlopCounterMode(display=False) as counter:
            call()
        count[name] = float(counter.get_total_flops())
    return count


def memory_bytes(device: torch.device) -> int:
    """The most that was in use: on a GPU by tensors, else by the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(codec: Codec, image: np.ndarray, batch: int, bpp: float, runs: int) -> dict[str, Any]:
    """Median seconds of each stage for a batch of one panorama repeated. It is turned by a token each time that it is
    quantised: indices that a codec has coded before, it remembers."""
    timed, images, turns = timer(codec.device, runs), [image] * batch, itertools.count()
    size = (image.shape[0], image.shape[1])
    if codec.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(codec.device)
    seconds: dict[str, float] = {}
    seconds["extract"], features = timed(lambda: codec.extract(images))
    seconds["quantize"], tokens = timed(
        lambda: [codec.quantize(f.roll(next(turns), dims=-1), size=size, bpp=bpp) for f in features]
    )
    seconds["pack"], packets = timed(lambda: [codec.pack(t) for t in tokens])
    seconds["unpack"], received = timed(lambda: [codec.unpack(p) for p in packets])
    seconds["reconstruct"], _ = timed(lambda: codec.reconstruct(received))
    seconds["encode"] = seconds["extract"] + seconds["quantize"] + seconds["pack"]
    seconds["decode"] = seconds["unpack"] + seconds["reconstruct"]
    return {"bpp": round(packets[0].bpp, 4), "seconds": seconds, "memory_bytes": memory_bytes(codec.device)}


def recorded(codec: Codec, image: np.ndarray, runs: int) -> dict[str, float]:
    """Median seconds of the networks' stages for one panorama of a size that is recorded, as services do."""
    timed, size = timer(codec.device, runs), (image.shape[0], image.shape[1])
    codec.record(size)
    extract, (features,) = timed(lambda: codec.extract([image]))
    tokens = codec.quantize(features, size=size)
    return {"extract": round(extract, 4), "reconstruct": round(timed(lambda: codec.reconstruct([tokens]))[0], 4)}


def under_way(codec: Codec, image: np.ndarray, bpp: float, at_once: int) -> dict[str, float]:
    """Panoramas a second each way, from pixels to bytes and back, with so many under way: the device works on one
    while the host codes others."""
    images = [np.roll(image, 16 * turn, axis=1) for turn in range(2 * at_once)]
    packets = [codec.encode(turned, bpp=bpp).to_bytes() for turned in images]
    images = [np.roll(turned, 16 * len(images), axis=1) for turned in images]  # none that it remembers
    rate: dict[str, float] = {}
    with ThreadPoolExecutor(at_once) as pool:
        for name, call, given in (
            ("encode", lambda one: codec.encode(one, bpp=bpp).to_bytes(), images),
            ("decode", lambda one: codec.decode(Packet.from_bytes(one)), packets),
        ):
            start = time.perf_counter()
            done = list(pool.map(call, given))
            rate[name] = round(len(done) / (time.perf_counter() - start), 3)
    return rate


def with_effort(codec: Codec, image: np.ndarray, bpp: float, runs: int, effort: Effort) -> dict[str, Any]:
    """Median seconds of encoding a panorama for longer, from pixels to bytes. It is turned each time, as above."""
    turns = itertools.count()
    seconds, packet = timer(codec.device, runs)(
        lambda: codec.encode(np.roll(image, 16 * next(turns), axis=1), bpp=bpp, effort=effort)
    )
    return {"effort": effort, "bpp": round(packet.bpp, 4), "seconds": {"encode": round(seconds, 4)}}


def avif(image: np.ndarray, bpp: float, runs: int, threads: int) -> dict[str, Any]:
    """Median seconds of encoding and decoding by AVIF at speed 4, at the best quality within ``bpp``, the search for
    which is not counted."""
    codec, found, timed = AVIF(speed=4), {}, timer(torch.device("cpu"), runs)
    quality, data = quality_at(codec, image, bpp=bpp)
    for count in sorted({1, threads}):
        codec.options["max_threads"] = count
        found[f"encode_{count}_threads"], data = timed(lambda: codec.encode(image, quality=quality))
    found["decode"], _ = timed(lambda: codec.decode(data))
    return {"bpp": round(bits_per_pixel(data, image), 4), "seconds": {k: round(v, 4) for k, v in found.items()}}


def main(
    panorama: Annotated[Path, typer.Argument(help="A panorama; it is scaled to each width.")],
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
    width: Annotated[list[int] | None, typer.Option(help="Widths in pixels [default: 1024, 2048].")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Panoramas at once [default: 1].")] = None,
    bpp: Annotated[float, typer.Option(help="Target in bits per pixel.")] = 0.1,
    runs: Annotated[int, typer.Option(min=1)] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    at_once: Annotated[int, typer.Option(min=1, help="Panoramas under way, of each width.")] = 2,
    effort: Annotated[list[Effort] | None, typer.Option(help="Efforts to time beside the usual one.")] = None,
    with_avif: Annotated[bool, typer.Option("--avif/--no-avif", help="Also what AVIF at speed 4 takes.")] = True,
) -> None:
    """Seconds by stage, panoramas per second, memory, and share of the machine's peak."""
    codec = Codec.load(model, device=device)
    original = Image.fromarray(load_panorama(panorama))
    peak = peak_flops(codec.device)
    name = torch.cuda.get_device_name(codec.device) if codec.device.type == "cuda" else "cpu"
    print(json.dumps({"model": codec.name, "device": name, "peak_tflops": round(peak / 1e12, 3)}), flush=True)
    for pixels in width or (1024, 2048):
        image = np.asarray(original.resize((pixels, pixels // 2), Image.Resampling.LANCZOS))
        flops = network_flops(codec, image)
        for count in batch or (1,):
            try:
                found = measure(codec, image, count, bpp, runs)
            except torch.OutOfMemoryError:
                print(json.dumps({"width": pixels, "batch": count, "error": "out of memory"}), flush=True)
                break
            seconds = found["seconds"]
            found |= {
                "panoramas_per_second": {k: round(count / seconds[k], 3) for k in ("encode", "decode")},
                "operations_per_pixel": {k: round(v / image[..., 0].size) for k, v in flops.items()},
                "share_of_peak": {k: round(count * v / seconds[k] / peak, 3) for k, v in flops.items()},
                "seconds": {k: round(v, 4) for k, v in seconds.items()},
            }
            print(json.dumps({"width": pixels, "batch": count, **found}), flush=True)
        try:
            several: dict[str, Any] = {"width": pixels, "at_once": at_once}
            if codec.device.type == "cuda":
                several["recorded_seconds"] = recorded(codec, image, runs)
            several["panoramas_per_second"] = under_way(codec, image, bpp, at_once)
        except torch.OutOfMemoryError:
            several["error"] = "out of memory"
        print(json.dumps(several), flush=True)
        for more in effort or ():
            try:
                found = with_effort(codec, image, bpp, runs, more)
            except torch.OutOfMemoryError:
                found = {"effort": more, "error": "out of memory"}
            print(json.dumps({"width": pixels, **found}), flush=True)
        if with_avif:
            try:
                found = avif(image, bpp, runs, torch.get_num_threads())
            except RateError as error:
                found = {"error": str(error)}
            print(json.dumps({"width": pixels, "codec": "avif-s4", **found}), flush=True)


if __name__ == "__main__":
    typer.run(main)
