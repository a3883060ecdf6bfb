"""Where the codec's CPU time goes, as a figure: a bar for each checkout and picture, a part of it for each stage.

    python benchmarks/services/plot_speed.py "before=before-1024.json" "now=now-1024.json" --out docs/images/codec-time

Takes what `benchmarks/services/tree_speed.py` prints, and draws PNG and SVG.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.figures import save

COLOURS = {
    "extract": "#b8c7d9",
    "quantize": "#c0392b",
    "pack": "#e67e22",
    "unpack": "#f1c40f",
    "reconstruct": "#8fa6bf",
}
"""networks pale, what is outside of them bright"""


def milliseconds(file: Path) -> dict[str, float]:
    """CPU milliseconds of each stage, from the last line that `tree_speed` printed."""
    found = json.loads(file.read_text().splitlines()[-1])["codec_cpu_seconds"]
    return {stage: 1000 * found[stage] for stage in COLOURS}


def draw(bars: dict[str, dict[str, float]], picture: Path) -> None:
    """Bars by their names: milliseconds by stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.5 * len(bars)), layout="constrained")
    begin = [0.0] * len(bars)
    for stage, colour in COLOURS.items():
        widths = [stages[stage] for stages in bars.values()]
        axes.barh(list(bars), widths, left=begin, color=colour, label=stage)
        begin = [left + width for left, width in zip(begin, widths, strict=True)]
    for place, stages in enumerate(bars.values()):
        outside = sum(stages[stage] for stage in ("quantize", "pack", "unpack"))
        text = f" {outside:.0f} of {begin[place]:.0f} ms outside the networks"
        axes.text(begin[place], place, text, va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.45 * max(begin))
    axes.set_xlabel("CPU milliseconds of one thread")
    axes.legend(ncols=len(COLOURS), loc="lower center", bbox_to_anchor=(0.45, 1), frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, picture)
    plt.close(figure)


def main(
    runs: Annotated[list[str], typer.Argument(help="NAME=FILE for each bar, top to bottom.")],
    out: Annotated[Path, typer.Option(help="Of the figure, without suffix.")],
) -> None:
    """Draw where the codec's time goes."""
    draw({name: milliseconds(Path(file)) for name, _, file in (run.partition("=") for run in runs)}, out)


if __name__ == "__main__":
    typer.run(main)
