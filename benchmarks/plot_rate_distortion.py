"""Draw what rate_distortion.py measured: each measure over bits per pixel, a line per codec, as PNG and SVG.

python benchmarks/rate_distortion.py FOLDER --width 1024 --model base --json > results/curves.json
python benchmarks/plot_rate_distortion.py results/curves.json results/curves
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measures import MEASURES


def main(
    results: Annotated[Path, typer.Argument(help="JSON that rate_distortion.py --json printed.")],
    picture: Annotated[Path, typer.Argument(help="Where to draw to, without suffix.")],
    max_bpp: Annotated[float, typer.Option(help="Leave out higher rates.")] = 0.6,
) -> None:
    """Rate-distortion curves as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    means: dict[str, dict[str, dict[str, float]]] = json.loads(results.read_text())["means"]
    measured = [name for name in MEASURES if all(name in p for curve in means.values() for p in curve.values())]
    figure, panels = plt.subplots(1, len(measured), figsize=(5 * len(measured), 4), layout="constrained", squeeze=False)
    for panel, measure in zip(panels[0], measured, strict=True):
        for name, settings in means.items():
            swept = [p for setting, p in settings.items() if setting.startswith("q=")]
            curve = sorted((p["bpp"], p[measure]) for p in swept or settings.values() if p["bpp"] <= max_bpp)
            if curve:
                # Panolink's models have no fixed qualities; they are what the picture is about.
                panel.plot(*zip(*curve, strict=True), marker="o", linewidth=1.2 if swept else 2.4, label=name)
        better = "higher" if MEASURES[measure].higher_is_better else "lower"
        panel.set(xlabel="bits per pixel", ylabel=f"{MEASURES[measure].label} ({better} is better)")
        panel.grid(alpha=0.3)
    panels[0][0].legend()
    picture.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".png", ".svg"):
        figure.savefig(picture.with_name(picture.name + suffix), dpi=150)


if __name__ == "__main__":
    typer.run(main)
