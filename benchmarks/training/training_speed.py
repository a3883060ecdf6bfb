"""What a training step takes, and on what: crops per second, share of the machine's peak, and a profile.

    python benchmarks/training/training_speed.py PANORAMAS --start base

One JSON object of the step (mean of warm ones, multiply–adds counted as two operations, the peak measured in the same
run as a large product of matrices), then the operations that take most of it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.timing import peak_flops
from panolink.training.batches import PREFETCHED, loading_processes
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.trainer import Trainer
from panolink.training.warm_start import beginning


def main(
    data: Annotated[list[Path], typer.Argument(help="Panoramas to learn from.")],
    config: Annotated[str, typer.Option(help="base, decoder, perceptual, paper, vqgan, or a .toml file.")] = "base",
    start: Annotated[str, typer.Option(help="A model to begin with.")] = "",
    cache: Annotated[Path, typer.Option(help="Where decoded panoramas are kept.")] = Path("runs/cache"),
    batch: Annotated[int | None, typer.Option(help="Crops a step.")] = None,
    on_device: Annotated[bool, typer.Option("--crops-on-device", help="Crops are cut where networks train.")] = False,
    steps: Annotated[int, typer.Option(min=2, help="Steps that are timed.")] = 12,
    rows: Annotated[int, typer.Option(min=1, help="Operations that are listed.")] = 12,
) -> None:
    """Crops per second, share of the machine's peak, loader's share of the time, and what a step is made of."""
    settings = TrainingConfig.load(config)
    settings = replace(settings, batch=batch or settings.batch, crops_on_device=on_device)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        trainer = Trainer(settings, PanoramaCache(data, cache), run, start=beginning(start, settings, run))
        batches = trainer.batches()

        def step() -> None:
            trainer.train_step(*next(batches), adversarial=settings.adversarial_from < 1)

        peak = peak_flops(trainer.device)
        step()
        if not settings.crops_on_device:
            for _ in range(PREFETCHED * (loading_processes() if trainer.device.type == "cuda" else 1)):
                next(batches)  # what was cut while the first step took its time
        report: dict[str, Any] = {}
        waited, began = 0.0, time.perf_counter()
        for _ in range(steps):
            asked = time.perf_counter()
            crops = next(batches)
            waited += time.perf_counter() - asked
            report = trainer.train_step(*crops, adversarial=settings.adversarial_from < 1)
        float(report["loss"])  # a GPU is done when its result is here
        spent = time.perf_counter() - began
        seconds = spent / steps
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (trainer.device.type == "cuda")
        with profile(activities=activities) as profiled:
            step()
        with FlopCounterMode(display=False) as counter:  # last: it has compiled networks run as they are written
            step()
        flops = float(counter.get_total_flops())
        found: dict[str, Any] = {
            "device": str(trainer.device),
            "batch": settings.batch,
            "crop": settings.crop,
            "seconds_a_step": round(seconds, 4),
            "crops_a_second": round(settings.batch / seconds, 2),
            "gflop_a_step": round(flops / 1e9, 1),
            "share_of_peak": round(flops / seconds / peak, 3),
            "peak_tflops": round(peak / 1e12, 3),
            "loader_share": round(waited / spent, 4),
        }
        print(json.dumps(found), flush=True)
        kind = "self_device_time_total" if trainer.device.type == "cuda" else "self_cpu_time_total"
        spent_on = {one.key: (getattr(one, kind), one.count) for one in profiled.key_averages()}
        total = sum(microseconds for microseconds, _ in spent_on.values())
        for name, (microseconds, count) in sorted(spent_on.items(), key=lambda item: -item[1][0])[:rows]:
            print(f"{microseconds / total:6.1%}  {count:5d} ×  {name}")


if __name__ == "__main__":
    typer.run(main)
