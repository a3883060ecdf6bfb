"""The parts of `scripts/gpu_session.sh` that are Python: training against the clock, and the codec's speed.

    python scripts/gpu_session.py train --data FOLDER --out FOLDER --until "$(date +%s -d '+8 minutes')" [--start base]
    python scripts/gpu_session.py speed --out FOLDER [--width 2048 …] [--batch 1 …]

``train`` ends at that time, the decoding of pictures, compiling and evaluation counted. It leaves the averaged
state in pieces (``state-0.safetensors`` …, a twentieth, half and all of the way), ``metrics.jsonl``, ``metrics.json``.
It needs torch, numpy, numba, safetensors, Pillow and rich, ``speed`` typer as well, and nothing that only the services
need.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lib.timing import peak_flops
from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.codec.networks.decoder import guidance_planes
from panolink.training.checkpoint import save_pieces
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.trainer import Trainer
from panolink.training.warm_start import beginning

ROOT = Path(__file__).resolve().parent.parent

STATE_AT = (0.05, 0.5)
"""shares of the training time at which the state is written, before the end"""

CALIBRATION_STEPS, CALIBRATION_SHARE = 300, 0.03
"""before the first validation, at most, and their share of the time"""

VALIDATION_SHARE = 0.1
"""of the training time, at most, for validations on the way"""

WRITING_SECONDS = 5.0
"""for the last state and figures"""


def session_config(arguments: argparse.Namespace) -> TrainingConfig:
    """The configuration for a device that is full all the time: large batches, crops made there, no snapshots."""
    config = TrainingConfig.load(arguments.config)
    if config.decoder_only and not arguments.start:
        raise SystemExit(f"configuration {arguments.config!r} trains a decoder for a finished model: give --start")
    return replace(
        config,
        batch=arguments.batch,
        crops_on_device=True,
        compiled=False,  # where a CPU stands in for the GPU, its minute would be most of the session
        rate=arguments.rate,
        snapshots=0,
        checkpoint_minutes=1e9,
        validation_images=arguments.validation_images or config.validation_images,
        warm_up=min(config.warm_up, arguments.warm_up),
    )


def made(config: TrainingConfig, arguments: argparse.Namespace, run: Path) -> Trainer:
    """A trainer with the largest batch, halved from the wanted one, whose networks fit the device's memory."""
    cache = PanoramaCache(arguments.data, run / "cache")
    if arguments.panoramas:
        training, validation = cache.split()
        cache.keep(training[: arguments.panoramas] + validation)
    start = beginning(arguments.start, config, run)
    while True:
        try:
            trainer = Trainer(config, cache, run, start=start)
            trainer.set_rate(config.rate / config.warm_up)
            trainer.train_step(*next(trainer.batches()), adversarial=config.adversarial_from < 1)
            if not config.decoder_only:
                calibrate(trainer, seconds=CALIBRATION_SHARE * (arguments.until - time.time()))
            return trainer
        except torch.OutOfMemoryError:
            if config.batch <= 8:
                raise
            config = replace(config, batch=config.batch // 2)
            print(f"out of memory: trying a batch of {config.batch}", file=sys.stderr)
            torch.cuda.empty_cache()
        except Exception as error:
            if not torch.cuda.is_available() or torch._dynamo.config.disable:
                raise
            torch._dynamo.config.disable = True
            print(f"without a compiler from here on: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)


def calibrate(trainer: Trainer, seconds: float) -> None:
    """Steps at rate 0: symbol statistics come to be those of these crops; only the codebook moves.

    A finished model's tables give other statistics. A validation before and one after the training would differ by a
    tenth of a decibel or more even where no weight had moved. The steps are not counted: the rates rise afterwards.
    """
    trainer.set_rate(0.0)
    batches, end = trainer.batches(), time.monotonic() + seconds
    for _ in range(CALIBRATION_STEPS):
        trainer.train_step(*next(batches), adversarial=False)
        if time.monotonic() > end:
            break
    trainer.step = 0


def seconds_a_crop_at_least(config: TrainingConfig, device: torch.device) -> float:
    """The networks' operations for one crop, forwards and backwards, at the rate of a large product of matrices."""
    model = Autoencoder(PROFILES[config.profile]).to(device)
    pixels = torch.full((1, 3, config.crop, config.crop), 127.0, device=device)
    with FlopCounterMode(display=False) as counter:
        with torch.set_grad_enabled(not config.decoder_only):
            features = model.encoder(pixels)
        plane = torch.zeros_like(features[:, 0])
        model.decoder(features, guidance_planes(plane > 0, plane, plane)).square().mean().backward()
    return counter.get_total_flops() / peak_flops(device)


def train(arguments: argparse.Namespace) -> None:
    """Train until the time is used up, and leave what came of it."""
    began, out = time.monotonic(), Path(arguments.out)
    until = began + arguments.until - time.time()

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        trainer = made(session_config(arguments), arguments, run)
        config = trainer.config
        timings = {"ready_s": round(time.monotonic() - began, 1)}
        asked = time.monotonic()
        before = trainer.validate(trainer.averaged, 0.0)
        timings["validation_s"] = round(time.monotonic() - asked, 1)
        floor = seconds_a_crop_at_least(config, trainer.device)
        seconds = until - time.monotonic() - 2 * timings["validation_s"] - WRITING_SECONDS
        if seconds <= 0:
            raise SystemExit(f"no time to train in: {timings} s and another validation leave {seconds:.0f} s")
        often = timings["validation_s"] < VALIDATION_SHARE / 3 * seconds
        trainer.config = replace(config, minutes=seconds / 60, validate_minutes=seconds if often else 0.0)
        written = Written(trainer, out, time.monotonic(), seconds)
        trainer.listeners.append(written.on_record)
        first_step = trainer.step
        minutes, _ = trainer.train()
        save_pieces(out, trainer.averaged)
        crops_a_second = config.batch * (trainer.step - first_step) / (60 * minutes - written.validating_seconds)
        card: dict[str, Any] = {
            "config": asdict(trainer.config),
            "device": _device_name(trainer.device),
            "panoramas": len(trainer.cache.split()[0]),
            "steps": trainer.step,
            "timings": timings | {"training_s": round(60 * minutes, 1)},
            "crops_a_second": round(crops_a_second, 1),
            "share_of_floor": round(crops_a_second * floor, 4),
            "before": before,
        }
        _write(out / "metrics.json", card)
        card["validation"] = trainer.validate(trainer.averaged, minutes)
        _write(out / "metrics.json", card)
    told = {name: card[name] for name in ("steps", "crops_a_second", "share_of_floor", "timings")}
    print(json.dumps(told | {"vpsnr_at_0.1": [card[when]["vpsnr_at_0.1"] for when in ("before", "validation")]}))


class Written:
    """Writes records as they come, and the averaged state on the way: should the machine go, that much is left."""

    def __init__(self, trainer: Trainer, out: Path, began: float, seconds: float) -> None:
        self.trainer, self.out, self.began, self.seconds = trainer, out, began, seconds
        self.due = list(STATE_AT)
        self.validating_seconds = 0.0
        """that validations on the way have taken"""

    def on_record(self, record: dict[str, Any]) -> None:
        """Called by the trainer."""
        with (self.out / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        now = time.monotonic()
        spent = now - self.began
        if "validation" in record:  # it tells the time at which the validation began
            self.validating_seconds += spent - 60 * record["minutes"]
        if self.due and spent > self.due[0] * self.seconds:
            self.due.pop(0)
            save_pieces(self.out, self.trainer.averaged)


def speed(arguments: argparse.Namespace) -> None:
    """The codec's speed as ``speed.jsonl``; each line is there as soon as it is measured."""
    from benchmarks.codec import codec_speed

    with (Path(arguments.out) / "speed.jsonl").open("w", buffering=1) as file, contextlib.redirect_stdout(file):
        codec_speed.main(
            panorama=Path(arguments.panorama),
            model=arguments.model,
            width=arguments.width,
            batch=arguments.batch,
            bpp=0.1,
            runs=arguments.runs,
            device="auto",
            at_once=arguments.at_once,
            with_avif=False,
        )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Training against the clock, and the codec's speed.")
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("train")
    part.add_argument("--data", type=Path, action="append", required=True)
    part.add_argument("--out", required=True)
    part.add_argument("--until", type=float, required=True, help="when to end, in seconds since 1970")
    part.add_argument("--config", default="base")
    part.add_argument("--start", default="")
    part.add_argument("--batch", type=int, default=256)
    part.add_argument("--rate", type=float, default=1.0, help="factor of the configuration's learning rates")
    part.add_argument("--warm-up", type=int, default=100, help="steps over which the rates rise")
    part.add_argument("--validation-images", type=int, default=0, help="as the configuration says if left out")
    part.add_argument("--panoramas", type=int, default=0, help="train on the first so many, to rehearse")
    part.set_defaults(run=train)
    part = parts.add_parser("speed")
    part.add_argument("--out", required=True)
    part.add_argument("--panorama", default=str(ROOT / "samples" / "city.webp"))
    part.add_argument("--model", default="base")
    part.add_argument("--width", type=int, nargs="+", default=[2048, 4096, 7680])
    part.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    part.add_argument("--runs", type=int, default=3)
    part.add_argument("--at-once", type=int, default=min(8, os.cpu_count() or 1), help="panoramas under way")
    part.set_defaults(run=speed)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
