"""Quality against τ, the share of tokens whose features are sent too, for several steps: the paper's Figure 7, priced.

    python benchmarks/codec/tau_sweep.py FOLDER docs/images/kept-share --width 1024 --model base

Left: VPSNR over τ, a line for each step. Right: the same points over the bits that they cost, all of them counted, with
what the codec makes of those bits when it chooses both itself. Prints the means as JSON and draws PNG and SVG.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.figures import save
from benchmarks.lib.panoramas import at_width, picture_files
from panolink import Codec
from panolink.codec.quantization.am_vq import Ranking
from panolink.errors import ModelError
from panolink.images import Failure, panoramas_in
from panolink.metrics.viewport import vpsnr

TAUS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
STEPS = [0, 4, 8, 12, 16]
TARGETS = (0.05, 0.1, 0.2, 0.4)
CHOSEN = "chosen by the codec"

Curves = dict[str, list[tuple[float, float, float]]]
"""by line: (τ, bpp, VPSNR in dB) of each of its points"""


def curves(codec: Codec, image: np.ndarray, steps: list[int], ranking: Ranking | None) -> Curves:
    """Points of one panorama, uint8 (H, W, 3)."""
    (features,) = codec.extract([image])

    def point(**budget: float | int) -> tuple[float, float, float]:
        tokens = codec.quantize(features, size=(image.shape[0], image.shape[1]), ranking=ranking, **budget)  # type: ignore[arg-type]
        packet = codec.pack(tokens)
        return tokens.share, packet.bpp, vpsnr(image, codec.decode(packet))

    found = {f"step {step}": [point(tau=tau, step=step) for tau in TAUS] for step in steps}
    return found | {CHOSEN: [point(bpp=bpp) for bpp in TARGETS]}


def draw(lines: Curves, picture: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (over_tau, over_bpp) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    for name, points in lines.items():
        taus, bpps, decibels = zip(*points, strict=True)
        look = (
            {"color": "black", "linewidth": 2.2}
            if name == CHOSEN
            else {"linewidth": 1.2, "marker": "o", "markersize": 3}
        )
        over_bpp.plot(bpps, decibels, label=name, **look)
        if name != CHOSEN:
            over_tau.plot(taus, decibels, label=name, **look)
    over_tau.set(xlabel="τ, share of tokens kept", ylabel="VPSNR, dB")
    over_bpp.set(xlabel="bits per pixel", xscale="log")
    over_bpp.set_xticks([0.03, 0.05, 0.1, 0.2, 0.4, 0.8], labels=["0.03", "0.05", "0.1", "0.2", "0.4", "0.8"])
    over_bpp.minorticks_off()
    over_bpp.legend(fontsize="small")
    for panel in (over_tau, over_bpp):
        panel.grid(alpha=0.3)
    save(figure, picture)
    plt.close(figure)


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of panoramas.", exists=True, file_okay=False)],
    picture: Annotated[Path, typer.Argument(help="Where to draw to, without suffix.")],
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
    width: Annotated[int | None, typer.Option(help="Scale to this width first (Lanczos).")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images, sorted by name.")] = None,
    step: Annotated[list[int], typer.Option(help="Steps in quarter octaves.")] = STEPS,
    ranking: Annotated[
        Ranking | None, typer.Option(help="How tokens are ranked; the model's own where left out.")
    ] = None,
) -> None:
    """VPSNR over the share of tokens kept."""
    console = Console(stderr=True)
    try:
        codec = Codec.load(model)
    except ModelError as error:
        raise typer.BadParameter(str(error)) from None
    files = picture_files(folder, limit=limit)
    found: list[Curves] = []
    for panorama in track(panoramas_in(files), total=len(files), console=console, description="coding"):
        if isinstance(panorama, Failure):
            console.print(f"skipped: {panorama.error}")
            continue
        found.append(curves(codec, at_width(panorama, width), step, ranking))
    if not found:
        raise typer.BadParameter(f"{folder}: no panorama in it")
    means = {name: np.mean([lines[name] for lines in found], axis=0).round(4).tolist() for name in found[0]}
    draw(means, picture)
    print(json.dumps({"model": codec.name, "images": len(found), "points": "tau, bpp, vpsnr_db", "curves": means}))


if __name__ == "__main__":
    typer.run(main)
