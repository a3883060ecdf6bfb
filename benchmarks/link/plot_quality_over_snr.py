"""Draw what quality_over_snr.py measured: quality over SNR, a panel for each channel and budget, as PNG and SVG.

python benchmarks/link/quality_over_snr.py FOLDER --width 1024 --json > results/channel.json
python benchmarks/link/plot_quality_over_snr.py docs/images/channel results/channel.json --cliff "webp 16qam 1/2"
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.quality_measures import MEASURES
from benchmarks.link.snr_curves import LINKS
from benchmarks.link.snr_tables import merged

CLIFF = "webp 16qam 1/2"
COLORS = {
    "fixed": "tab:green",
    "adaptive": "tab:blue",
    "analogue": "tab:purple",
    "jpeg": "tab:red",
    "webp": "tab:orange",
    "avif": "tab:brown",
}


def style(name: str, cliff: str) -> dict[str, Any] | None:
    """How a sender is drawn; None: not at all."""
    color = next((c for start, c in COLORS.items() if name.startswith(start)), "gray")
    if name in LINKS:
        return {"linewidth": 2.4, "marker": "o", "markersize": 3, "color": color}
    if name == cliff:
        return {"linewidth": 1.2, "linestyle": "--", "color": "black"}
    if name.endswith("envelope"):
        return {"linewidth": 1.4, "color": color}
    if name.endswith("at capacity"):
        return {"linewidth": 1.0, "linestyle": ":", "color": color}
    return None


def main(
    picture: Annotated[Path, typer.Argument(help="Where to draw to, without suffix; a file a channel and measure.")],
    results: Annotated[list[Path], typer.Argument(help="JSON of quality_over_snr.py --json, one run or several.")],
    cliff: Annotated[str, typer.Option(help="The one separate design that is drawn by itself.")] = CLIFF,
) -> None:
    """Curves over SNR with 95 % bands."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    result = merged(results)
    airs = result["curves"]
    picture.parent.mkdir(parents=True, exist_ok=True)
    for measure in result["measures"]:
        for air, by_budget in airs.items():
            size = (4.6 * len(by_budget), 4.2)
            figure, panels = plt.subplots(1, len(by_budget), figsize=size, layout="constrained", squeeze=False)
            for panel, spp in zip(panels[0], sorted(by_budget, key=float), strict=True):
                for name, points in by_budget[spp].items():
                    if (look := style(name, cliff)) is None:
                        continue
                    snrs = [p["snr_db"] for p in points]
                    (line,) = panel.plot(snrs, [p[measure]["mean"] for p in points], label=name, **look)
                    if name in LINKS or name == cliff:
                        edges = ([p[measure][edge] for p in points] for edge in ("low", "high"))
                        panel.fill_between(snrs, *edges, color=line.get_color(), alpha=0.15, linewidth=0)
                panel.set(title=f"{air}, {spp} symbols per pixel", xlabel="SNR, dB", ylabel=MEASURES[measure].label)
                panel.grid(alpha=0.3)
            figure.legend(
                *panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small"
            )
            for suffix in (".png", ".svg"):
                figure.savefig(picture.with_name(f"{picture.name}-{air}-{measure}{suffix}"), dpi=72)
            plt.close(figure)


if __name__ == "__main__":
    typer.run(main)
