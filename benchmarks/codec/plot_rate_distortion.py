"""Draw what rate_distortion.py measured: each measure over bits per pixel, a line per codec, as PNG and SVG.

python benchmarks/codec/rate_distortion.py FOLDER --width 1024 --model base --json > results/curves.json
python benchmarks/codec/plot_rate_distortion.py results/curves.json results/curves
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.figures import save
from benchmarks.lib.quality_measures import MEASURES
from benchmarks.lib.rate_points import BASELINES

MODEL_COLOURS = ("black", "tab:red", "tab:purple", "tab:olive")
"""of models, in their order; after them again from the first"""

Published = dict[str, dict[str, list[tuple[float, float]]]]
"""bpp and value of points that others measured, by label and measure"""


def draw(
    means: dict[str, dict[str, dict[str, float]]],
    picture: Path,
    *,
    max_bpp: float = 0.6,
    published: Published | None = None,
) -> None:
    """A panel for each measure that all codecs have, from means by codec and setting; ``picture`` is without suffix.

    What others measured on other pictures is dashed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    measured = [name for name in MEASURES if all(name in p for curve in means.values() for p in curve.values())]
    models = [name for name in means if name not in BASELINES and ":" not in name]
    colours = {name: MODEL_COLOURS[number % len(MODEL_COLOURS)] for number, name in enumerate(models)}
    figure, panels = plt.subplots(1, len(measured), figsize=(5 * len(measured), 4), layout="constrained", squeeze=False)
    for panel, measure in zip(panels[0], measured, strict=True):
        for name, settings in means.items():
            swept = [p for setting, p in settings.items() if setting.startswith("q=")]
            curve = sorted((p["bpp"], p[measure]) for p in swept or settings.values() if p["bpp"] <= max_bpp)
            if curve:
                ours = {"linewidth": 2.4, "markersize": 5, "color": colours.get(name, "dimgray"), "zorder": 3}
                look = {"linewidth": 1.2, "markersize": 3} if name in BASELINES else ours
                panel.plot(*zip(*curve, strict=True), marker="o", label=name, **look)
        for number, (label, curves) in enumerate((published or {}).items()):
            if curve := [(bpp, value) for bpp, value in curves.get(measure, []) if bpp <= max_bpp]:
                look = {"linestyle": "--", "linewidth": 1.2, "marker": "s^"[number % 2], "markersize": 4}
                panel.plot(*zip(*curve, strict=True), label=label, color="gray", **look)
        better = "higher" if MEASURES[measure].higher_is_better else "lower"
        panel.set(xlabel="bits per pixel", ylabel=f"{MEASURES[measure].label} ({better} is better)", xlim=(0, max_bpp))
        panel.grid(alpha=0.3)
    panels[0][0].legend(fontsize="small")
    save(figure, picture)
    plt.close(figure)


def main(
    results: Annotated[Path, typer.Argument(help="JSON that rate_distortion.py --json printed.")],
    picture: Annotated[Path, typer.Argument(help="Where to draw to, without suffix.")],
    max_bpp: Annotated[float, typer.Option(help="Leave out higher rates.")] = 0.6,
) -> None:
    """Rate-distortion curves as a picture."""
    draw(json.loads(results.read_text())["means"], picture, max_bpp=max_bpp)


if __name__ == "__main__":
    typer.run(main)
