"""The paper's figures, made anew: its Figures 4 to 8 from one command.

    python benchmarks/codec/paper_figures.py TEST_FOLDER --vqgan runs

*Figures 4 and 5*: VPSNR and VSSIM over bits per pixel for JPEG, VQGAN, `paper` and `base`, with published curves of
Li22 and VPCT, which are of other pictures. *Figure 6*: the perceptual loss (11), on fewer panoramas, since its network
takes seconds for each point. *Figure 7*: VPSNR over τ. *Figure 8*: the visual comparison, boxes and magnified parts.

VQGANs are the paper's networks that send indices alone, trained under the adversary from the start. They do not ship;
`--vqgan` takes the folder below which `panolink train` has put them:

    for profile in vqgan-f16-k256 vqgan-f16-k1024 vqgan-f8-k1024; do
        panolink train --data FOLDER --config vqgan --profile $profile --out runs/$profile
    done

Tables go between the markers of the page (see rate_distortion_page.py), curves into docs/images, what was measured as
JSON below `--results`. Points are kept, so that an interrupted run goes on where it stopped.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.codec import tau_sweep, visual_crops
from benchmarks.codec.plot_rate_distortion import Published, draw
from benchmarks.codec.rate_distortion import compare, of_all
from benchmarks.codec.rate_distortion_page import filled
from benchmarks.lib.panoramas import at_width, picture_files
from benchmarks.lib.rate_points import BASELINES, CachedCodec, Subject, baseline, indices_alone, model
from panolink import Codec
from panolink.codec.networks.autoencoder import VQGANS
from panolink.errors import ModelError, PanolinkError
from panolink.images import Failure, Panorama, load_panorama, panoramas_in

PAGE = Path("docs/paper.md")
IMAGES = Path("docs/images")
TARGETS = (0.05, 0.1, 0.2, 0.4)
MEASURES = ("vpsnr_db", "vssim")
PERCEPTUAL = ("feature_distance",)
STEPS = [0, 4, 8]
BOXES = ["samples/city.webp", "samples/interior.webp", "samples/courtyard.webp"]
CROP, ZOOM = (144, 108), 2

PUBLISHED: Published = {
    "Li22, published, other pictures": {
        "vpsnr_db": [(0.123, 28.61), (0.208, 30.36), (0.359, 32.18), (0.522, 33.72)],
    },
    "VPCT, published, other pictures": {
        "vpsnr_db": [(0.090, 28.40), (0.138, 29.63), (0.210, 30.94), (0.348, 32.78), (0.478, 34.06)],
    },
}
"""Read off published plots: the test set of LIC360 at 1024×512, 14 viewports."""


def vqgans_below(folder: Path) -> list[Subject]:
    """The VQGANs that training left in a folder, in the order of `VQGANS`.

    Raises
    ------
    ModelError
        There is none, or one is of another profile.
    """
    found = {}
    for weights in sorted(folder.glob("vqgan-*/weights.safetensors")):
        subject = indices_alone(weights)
        found[subject.name] = subject
    if unknown := sorted(set(found) - {profile.name for profile in VQGANS}):
        raise ModelError(f"{folder}: a model of profile {unknown[0]!r}; VQGANs are {', '.join(p.name for p in VQGANS)}")
    if not found:
        raise ModelError(f"{folder}: no vqgan-…/weights.safetensors below it")
    return [found[profile.name] for profile in VQGANS if profile.name in found]


def with_one_vqgan(means: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Means by codec and setting, where all VQGANs are one curve, in the order of the legend."""
    points = {name: settings["tau=0"] for name, settings in means.items() if name.startswith("vqgan-")}
    curves = means | {"VQGAN": points}
    return {name: curves[name] for name in ("jpeg", "paper", "VQGAN", "base") if curves.get(name)}


def curves(
    files: list[Path], width: int, vqgans: list[Subject], measures: tuple[str, ...], cache: Path, console: Console
) -> dict[str, Any]:
    """What `compare` finds for JPEG, VQGANs and `base`, and for `paper` in as many bits as JPEG and VQGANs took."""
    jpeg = baseline(CachedCodec(BASELINES["jpeg"], cache), TARGETS)
    others = [jpeg, *vqgans, model("base", TARGETS)]
    rivals = ["jpeg", *(one.name for one in vqgans)]
    return of_all(compare(files, width, others, [model("paper", TARGETS)], TARGETS, measures, cache, console, rivals))


def perceptual_curves(
    files: list[Path], width: int, vqgans: list[Subject], cache: Path, console: Console
) -> dict[str, Any]:
    """The same codecs by perceptual loss, at their fixed qualities alone."""
    others = [baseline(CachedCodec(BASELINES["jpeg"], cache), ()), *vqgans, model("base", ())]
    return of_all(compare(files, width, others, [model("paper", ())], (), PERCEPTUAL, cache, console, []))


def over_tau(files: list[Path], width: int, console: Console) -> tau_sweep.Curves:
    """Means of `tau_sweep.curves` of `paper`."""
    codec, found = Codec.load("paper"), []
    for panorama in track(panoramas_in(files), total=len(files), console=console, description="over τ"):
        if isinstance(panorama, Failure):
            raise panorama.error
        found.append(tau_sweep.curves(codec, at_width(panorama, width), STEPS, None))
    return {name: np.mean([lines[name] for lines in found], axis=0).round(4).tolist() for name in found[0]}


def comparison(boxes: list[str], vqgans: list[Subject], bpp: float, cache: Path, picture: Path) -> None:
    """The visual comparison: a row for each PANORAMA or PANORAMA@X,Y."""
    subjects = [baseline(CachedCodec(BASELINES["jpeg"], cache), ()), *vqgans, model("paper", ()), model("base", ())]
    rows = []
    for given in boxes:
        file, _, at = given.partition("@")
        image = load_panorama(file)
        x, y = (int(part) for part in at.split(",")) if at else visual_crops.busiest(image, CROP)
        rows.append(visual_crops.row(Panorama(Path(file).stem, image), (x, y), CROP, subjects, bpp, ZOOM))
    picture.parent.mkdir(parents=True, exist_ok=True)
    visual_crops.page(rows).save(picture, quality=68)


def main(
    folder: Annotated[Path, typer.Argument(help="The test panoramas.", exists=True, file_okay=False)],
    vqgan: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Below which trained VQGANs lie; left out without.")
    ] = None,
    width: Annotated[int, typer.Option(help="Scale to this width first (Lanczos).")] = 1024,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images, sorted by name.")] = None,
    perceptual_limit: Annotated[int, typer.Option(min=0, help="Images for the perceptual loss.")] = 6,
    tau_limit: Annotated[int, typer.Option(min=0, help="Images for VPSNR over τ.")] = 6,
    boxes: Annotated[
        list[str], typer.Option("--box", metavar="PANORAMA@X,Y", help="Rows of the visual comparison, or none.")
    ] = BOXES,
    bpp: Annotated[float, typer.Option(min=0.001, help="Of the visual comparison.")] = 0.1,
    page: Annotated[Path, typer.Option(help="Where the tables stand.")] = PAGE,
    images: Annotated[Path, typer.Option(help="Where figures are drawn to.")] = IMAGES,
    results: Annotated[Path, typer.Option(help="Where JSON is written to.")] = Path("results"),
    cache: Annotated[Path, typer.Option(help="Where points are kept.")] = Path(".cache/rate_distortion"),
) -> None:
    """Measure, draw, and write the tables."""
    console = Console(stderr=True)
    files = picture_files(folder, limit=limit)
    if not files:
        raise typer.BadParameter(f"{folder}: no panorama in it")
    try:
        vqgans = vqgans_below(vqgan) if vqgan else []
        results.mkdir(parents=True, exist_ok=True)
        found = {"paper": curves(files, width, vqgans, MEASURES, cache, console)}
        draw(with_one_vqgan(found["paper"]["means"]), images / "paper-curves", published=PUBLISHED)
        if some := files[:perceptual_limit]:
            found["paper-perceptual"] = perceptual_curves(some, width, vqgans, cache, console)
            draw(with_one_vqgan(found["paper-perceptual"]["means"]), images / "paper-perceptual")
        for name, result in found.items():
            (results / f"{name}.json").write_text(json.dumps(result, indent=1))
        if some := files[:tau_limit]:
            lines = over_tau(some, width, console)
            tau_sweep.draw(lines, images / "paper-tau")
            (results / "paper-tau.json").write_text(json.dumps(lines))
        if rows := [one for one in boxes if one != "none"]:
            comparison(rows, vqgans, bpp, cache, images / "paper-visual.webp")
    except PanolinkError as error:
        raise typer.BadParameter(str(error)) from None
    if page.exists():
        page.write_text(filled(page.read_text(), found))


if __name__ == "__main__":
    typer.run(main)
