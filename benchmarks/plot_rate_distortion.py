"""Draw what rate_distortion.py measured: VPSNR and VSSIM over bits per pixel, a line per codec.

python benchmarks/rate_distortion.py FOLDER --width 1024 --model base --json > results/curves.json
python benchmarks/plot_rate_distortion.py results/curves.json results/curves.png
"""

import json
from pathlib import Path
from typing import Annotated

import typer

MEASURES = {"vpsnr_db": "VPSNR (dB)", "vssim": "VSSIM"}


def main(
    results: Annotated[Path, typer.Argument(help="JSON that rate_distortion.py --json printed.")],
    picture: Annotated[Path, typer.Argument(help="Where to draw to: .png, .svg or .pdf.")],
    max_bpp: Annotated[float, typer.Option(help="Leave out higher rates.")] = 0.6,
) -> None:
    """Rate-distortion curves as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    means = json.loads(results.read_text())["means"]
    figure, panels = plt.subplots(1, len(MEASURES), figsize=(10, 4), layout="constrained")
    for panel, (measure, label) in zip(panels, MEASURES.items(), strict=True):
        for name, settings in means.items():
            swept = [p for setting, p in settings.items() if setting.startswith("q=")]
            curve = sorted((p["bpp"], p[measure]) for p in swept or settings.values() if p["bpp"] <= max_bpp)
            if curve:
                # Panolink's models have no fixed qualities; they are what the picture is about.
                panel.plot(*zip(*curve, strict=True), marker="o", linewidth=1.2 if swept else 2.4, label=name)
        panel.set(xlabel="bits per pixel", ylabel=label)
        panel.grid(alpha=0.3)
    panels[0].legend()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    typer.run(main)
