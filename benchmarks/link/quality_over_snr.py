"""Panoramas over a noisy channel at equal symbols per pixel: this link against separate coding.

    python benchmarks/link/quality_over_snr.py FOLDER --width 1024 --json > results/channel.json
    python benchmarks/link/plot_quality_over_snr.py results/channel.json results/channel

*fixed*: this link with its default schemes, whatever the SNR is. *adaptive*: schemes chosen for the mean SNR (what a
controller comes to). *analogue*: features as amplitudes beside a coded base layer, nothing adapted; at the first draw
only, since its noise is averaged over thousands of symbols as it is, and none of its pictures recurs.
*separate*: a picture file in the bits that 5G LDPC leaves it at each scheme that this link chooses from; one lost piece
loses the picture. *capacity*: the file that an ideal code at Shannon's rate for each draw would carry.

A picture that is lost, whoever sent it, counts as a plane of its own mean colour. All symbols count. Which segments are
lost comes from the measured error curves (`segment_loss.py`); draws are common to all that is compared. Pictures are
kept by what was sent and which segments were lost, below `--cache`: an interrupted run goes on where it stopped.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import panolink
from benchmarks.lib import rate_points
from benchmarks.lib.panoramas import at_width, picture_files
from benchmarks.lib.quality_measures import MEASURES
from benchmarks.lib.revisions import of_measures, revision
from benchmarks.link.segment_loss import Air, Draw
from benchmarks.link.semantic_link import Analogue, Digital, arrives
from benchmarks.link.separate_coding import SCHEMES, Files, RateQuality, arrival, capacity, room
from benchmarks.link.snr_curves import Curves, PictureCache, report
from panolink.errors import RateError
from panolink.images import Failure, panoramas_in
from panolink.link.coding import Coding
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import SAFETY_DB, Choice, Fixed, Protection, Schemes

SNRS = [float(snr) for snr in np.arange(-5, 25.1, 2.5)]
BUDGETS = [0.05, 0.1, 0.2]
CODECS = ["jpeg", "webp", "avif-s6"]
AIRS = [air.value for air in Air]
MEASURED = ["vpsnr_db", "vssim"]
# Where nothing averages the fades, the mean SNR is not to be counted on: one segment in ten is 10 dB below it.
UNAVERAGED_MARGIN_DB = 8.0
UNAVERAGED_HEADER_DB = -5.0  # the header: as strong as can be

Scores = dict[str, float]
Sender = Digital | Analogue


class UnderAnalogue:
    """A base layer that arrives from −5 dB on, whatever the channel does: what follows the SNR are the amplitudes."""

    fading = base_layer_margin_db = 0.0

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """See `Protection`."""
        return Choice(-0.8).schemes(lowered_db=lowered_db)


class Panorama:
    """All that is asked of one panorama, each answer kept."""

    def __init__(self, image: np.ndarray, codec: panolink.Codec, measures: list[str], cache: Path) -> None:
        self.image, self.measures, self._points = image, measures, cache / "rate_distortion"
        self.coding = Coding(codec, image)
        self.pixels = image.shape[0] * image.shape[1]
        self.pictures = PictureCache(image, measures, cache, revision=f"{revision(codec)}-{of_measures()}")
        self.files = Files(image, measures, cache)
        self._senders: dict[object, Sender | None] = {}
        mean = np.broadcast_to(image.mean(axis=(0, 1)).round().astype(np.uint8), image.shape)
        self.nothing = self.pictures.scores("mean-colour", lambda: np.ascontiguousarray(mean))

    def over_link(
        self, make: Callable[..., Sender], budget: SymbolBudget, protection: Protection, draw: Draw, snr_db: float
    ) -> tuple[Scores, bool]:
        """Scores of this link, and whether a picture arrived; a base layer that does not fit is a lost picture."""
        sender = self._sender(make, budget, protection)
        if sender is None or not arrives(sender.layers, draw.lost(sender.formats, snr_db)):
            return self.nothing, False
        return self.pictures.scores(sender.key(draw, snr_db), lambda: sender.receive(draw, snr_db)), True

    def _sender(self, make: Callable[..., Sender], budget: SymbolBudget, protection: Protection) -> Sender | None:
        # All that `fill` can ask for: neighbouring SNRs often come to the same.
        most = SAFETY_DB["indices"][0] + protection.base_layer_margin_db
        asked = [protection.schemes(lowered_db=lowered) for lowered in np.arange(0, most + 0.5, 0.5)]
        expected_db = getattr(protection, "snr_db", None) if make is Analogue else None  # amplitudes are chosen for it
        key = (make, budget, bool(protection.fading), protection.base_layer_margin_db, expected_db, str(asked))
        if key not in self._senders:
            try:
                self._senders[key] = make(self.coding, budget, protection)
            except RateError:
                self._senders[key] = None
        return self._senders[key]

    def rate_quality(self, codec: str) -> RateQuality:
        """A codec's curve, for what capacity would carry."""
        subject = rate_points.baseline(rate_points.BASELINES[codec], [])
        settings = {setting: setting for setting in subject.settings}
        found = [p for _, p in rate_points.points(subject, self.image, settings, self.measures, self._points)]
        found = sorted((p for p in found if p.reached), key=lambda p: p.bpp)
        scores = {name: tuple(p.scores[name] for p in found) for name in self.measures}
        return RateQuality(tuple(p.bpp for p in found), scores, self.nothing)


def choice_for(air: Air, snr_db: float) -> Choice:
    """What a controller comes to when the mean SNR stays the same."""
    if air is Air.SEGMENT:
        return Choice(snr_db - UNAVERAGED_MARGIN_DB, header_snr_db=UNAVERAGED_HEADER_DB)
    return Choice(snr_db, fading=float(air is Air.INTERLEAVED))


def measure_panorama(
    panorama: Panorama,
    number: int,
    *,
    airs: list[str],
    budgets: list[float],
    snrs: list[float],
    codecs: list[str],
    draws: int,
    analogue_every: int,
    curves: Curves,
    advance: Callable[[], None],
) -> None:
    """Every air, budget, SNR and draw of one panorama, into `curves`."""
    qualities = {codec: panorama.rate_quality(codec) for codec in codecs}
    for air in map(Air, airs):
        for spp in budgets:
            budget = SymbolBudget.per_pixel(spp, pixels=panorama.pixels)
            files = {(c, s): panorama.files.best(c, room(budget.symbols, s)) for c in codecs for s in SCHEMES}
            for place, snr in enumerate(snrs):
                links = {"fixed": (Digital, Fixed()), "adaptive": (Digital, choice_for(air, snr))}
                for seed in range(1 if air is Air.AWGN else draws):  # nothing fades there
                    draw = Draw(air, (number, seed))
                    add = partial(curves.add, str(air), spp, snr, number)
                    for name, (make, protection) in links.items():
                        add(name, *panorama.over_link(make, budget, protection, draw, snr))
                    if analogue_every and seed == 0 and place % analogue_every == 0:
                        add("analogue", *panorama.over_link(Analogue, budget, UnderAnalogue(), draw, snr))
                    for (codec, scheme), file in files.items():
                        chance = arrival(draw, file[0], scheme, snr) if file else 0.0
                        there = file[1] if file else panorama.nothing
                        mixed = {k: chance * there[k] + (1 - chance) * panorama.nothing[k] for k in there}
                        add(f"{codec} {scheme}", mixed, chance)
                    bits = capacity(draw, budget.symbols, snr) * spp
                    for codec, quality in qualities.items():
                        add(f"{codec} at capacity", quality.at(bits), float(bits >= quality.bpp[0]))
                advance()


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of panoramas.", exists=True, file_okay=False)],
    width: Annotated[int | None, typer.Option(help="Scale to this width first (Lanczos).")] = None,
    every: Annotated[int, typer.Option(help="Only each so-many-th image, sorted by name, from the first on.")] = 1,
    limit: Annotated[int | None, typer.Option(help="Only the first N of these.")] = None,
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "base",
    codec: Annotated[list[str], typer.Option(help=f"One of {', '.join(rate_points.BASELINES)}, or none.")] = CODECS,
    air: Annotated[list[str], typer.Option(help=f"One of {', '.join(AIRS)}.")] = AIRS,
    budget: Annotated[list[float], typer.Option("--spp", help="Symbols per pixel.")] = BUDGETS,
    snr: Annotated[list[float], typer.Option(help="Mean Es/N0 in dB.")] = SNRS,
    draws: Annotated[int, typer.Option(help="Draws of a fading channel for each panorama.", min=1)] = 2,
    analogue_every: Annotated[
        int, typer.Option(help="Analogue at each so-many-th SNR: none of its pictures recurs.")
    ] = 1,
    measure: Annotated[list[str], typer.Option(help=f"One of {', '.join(MEASURES)}.")] = MEASURED,
    cache: Annotated[Path, typer.Option(help="Where results are kept.")] = Path(".cache/channel"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Quality over SNR at equal symbols per pixel."""
    console = Console(stderr=True)
    codec = [name for name in codec if name != "none"]
    known = ((codec, rate_points.BASELINES, "codec"), (measure, MEASURES, "measure"), (air, AIRS, "air"))
    for given, allowed, what in known:
        if unknown := [name for name in given if name not in allowed]:
            raise typer.BadParameter(f"unknown {what} {unknown[0]!r}; there are {', '.join(allowed)}")
    link_codec = panolink.Codec.load(model)
    images = picture_files(folder, every=every, limit=limit)
    curves, measured = Curves(measure), list[str]()
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        work = len(air) * len(budget) * len(snr)
        task = progress.add_task("measuring", total=len(images) * work)
        for done, loaded in enumerate(panoramas_in(images)):
            if isinstance(loaded, Failure):
                console.print(f"skipped: {loaded.error}")
                progress.update(task, completed=(done + 1) * work)
                continue
            progress.update(task, description=Path(loaded.name).stem)
            panorama = Panorama(at_width(loaded, width), link_codec, measure, cache)
            measure_panorama(
                panorama,
                done * every,
                airs=air,
                budgets=budget,
                snrs=snr,
                codecs=codec,
                draws=draws,
                analogue_every=analogue_every,
                curves=curves,
                advance=lambda: progress.advance(task),
            )
            panorama.pictures.save()
            measured.append(Path(loaded.name).name)
    settings: dict[str, Any] = {"width": width, "model": f"{model}-{link_codec.fingerprint}", "draws": draws}
    settings["panoramas"] = measured
    result = settings | {"measures": measure, "curves": curves.summary()}
    print(json.dumps(result)) if as_json else report(Console(), result)


if __name__ == "__main__":
    typer.run(main)
