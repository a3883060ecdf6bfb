"""Draw how a model's quality grew with training: VPSNR on validation panoramas over steps and processor hours.

    python benchmarks/training/plot_training.py runs/base/metrics.jsonl docs/images/training-base.png

Takes the logs of several runs that went on from each other, in order. Validation here is the trainer's own, at 0.1 bpp
by ideal code lengths: it shows the trend and chooses checkpoints; figures of a model card come from rate_distortion.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def read(log: Path) -> tuple[list[tuple[float, float, float]], list[tuple[float, float]]]:
    """Of one log: (step, CPU hours, VPSNR at 0.1 bpp) of its validations, and (step, loss) of its training."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    validations = [
        (r["step"], r.get("cpu_hours", float("nan")), r["validation"]["vpsnr_at_0.1"])
        for r in records
        if "validation" in r
    ]
    return validations, [(r["step"], r["loss"]) for r in records if "loss" in r]


def main(
    logs: Annotated[list[Path], typer.Argument(help="metrics.jsonl of each run in order, then the picture.")],
    smooth: Annotated[int, typer.Option(help="Records of the loss that one point averages.")] = 8,
) -> None:
    """Training curves as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    *logs, picture = logs
    figure, (quality, losses) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    before = 0.0
    for number, log in enumerate(logs):
        validations, loss = read(log)
        label = f"run {number + 1}" if len(logs) > 1 else None
        quality.plot([before + s for s, _, _ in validations], [v for _, _, v in validations], marker="o", label=label)
        means = [loss[i : i + smooth] for i in range(0, len(loss) - smooth + 1, smooth)]
        losses.plot([before + m[-1][0] for m in means], [sum(v for _, v in m) / smooth for m in means], label=label)
        hours = [h for _, h, _ in validations if h == h]
        if hours:
            quality.set_title(f"{hours[-1]:.1f} processor hours in the last run")
        before += max(s for s, *_ in (*validations, *loss))
    quality.set(xlabel="steps", ylabel="VPSNR at 0.1 bpp, validation (dB)")
    losses.set(xlabel="steps", ylabel="training loss")
    for panel in (quality, losses):
        panel.grid(alpha=0.3)
        if len(logs) > 1:
            panel.legend()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    typer.run(main)
