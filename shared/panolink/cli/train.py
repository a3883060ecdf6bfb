"""`train`: a model from a folder of panoramas, on one process or several (`torchrun`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panolink.cli.options import Json, err, out, print_json
from panolink.errors import ImageError, ModelError, SettingError

if TYPE_CHECKING:
    from panolink.training.config import TrainingConfig
    from panolink.training.data import PanoramaCache
    from panolink.training.trainer import Trainer

COUNTED_PANORAMAS = 500
"""Symbols of at most so many panoramas are counted for an exported model's tables; networks see all of them."""


def train(
    data: Annotated[
        list[Path], typer.Option(metavar="FOLDER", help="Panoramas to learn from; may be given several times.")
    ],
    config: Annotated[str, typer.Option(help="base, decoder, perceptual, paper, vqgan, or a .toml file.")] = "base",
    profile: Annotated[
        str | None, typer.Option(help="Of the networks, another than the configuration's: vqgan-f8-k1024, …")
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where the run goes (runs/<config> by default).")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="How long this call trains; as the configuration says if left out."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most so many steps in this call.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Crops a step, in each process.")] = None,
    start: Annotated[
        str,
        typer.Option(
            "--start",
            "--resume-from",
            metavar="MODEL|WEIGHTS|FOLDER",
            help="A shipped model, weights, or a state in pieces to begin with (under torchrun: --resume-from).",
        ),
    ] = "",
    endless: Annotated[bool, typer.Option("--endless", help="At a constant rate until it is stopped.")] = False,
    finish: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="MINUTES", help="Go on from the checkpoint, the rate falling to zero."),
    ] = None,
    export: Annotated[
        bool, typer.Option("--export/--no-export", help="Whether the entropy coder is fitted and a model written.")
    ] = True,
    export_only: Annotated[
        bool, typer.Option("--export-only", help="Train no further: make a model of the best weights of --out.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Decoded panoramas are kept there (OUT/../cache by default).")
    ] = None,
    copies: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How often the entropy coder sees each panorama afterwards: 8 takes 20 minutes of two cores for 500 "
            "of them, 1 takes four.",
        ),
    ] = None,
    fit_on: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="On how many panoramas, at most, the entropy coder is fitted; all of them."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Train a model. A run that was stopped goes on from there when started again with the same --out: with --endless
    as if it had not been stopped, else for the whole of --minutes and --steps, which are those of one call.

    Example: [bold]panolink train --data panoramas/ --config base --minutes 60 --out runs/base[/bold]

    In the background: [bold]--endless --no-export[/bold]; later [bold]--finish 30[/bold] on the same --out.

    What a signal stops is saved and validated, and no model is made of it.

    Several processes: [bold]torchrun --nproc-per-node 2 -m panolink.cli train --data panoramas/[/bold]

    The folder gets weights.safetensors, a model to encode with, and metrics.json; meanwhile a checkpoint and logs.
    """
    from panolink.codec.networks.autoencoder import PROFILES
    from panolink.training.config import TrainingConfig
    from panolink.training.data import PanoramaCache

    settings = TrainingConfig.load(config)
    given = {"profile": profile, "minutes": minutes, "steps": steps, "batch": batch, "copies": copies}
    settings = replace(settings, **{name: value for name, value in given.items() if value is not None})
    if settings.profile not in PROFILES:
        raise ModelError(f"unknown profile {settings.profile!r}; there are {', '.join(PROFILES)}")
    folder = target or Path("runs") / (profile or Path(config).stem)
    settings = _length(settings, folder, endless=endless, finish=finish, limited=minutes is not None)
    if settings.decoder_only and not start:
        raise ModelError(f"configuration {config!r} trains a decoder for a finished model: name it with --start")
    if export_only and not (folder / "best.safetensors").is_file():
        raise ModelError(f"{folder}: no best.safetensors there to export; a run writes it when it validates")
    for one in data:
        if not one.is_dir():
            raise ImageError(f"{one}: no such folder")
    export = export or export_only
    with _processes() as (rank, of_first):
        folder.mkdir(parents=True, exist_ok=True)
        cache = cache or folder.parent / "cache"
        stopped = False
        if not export_only:
            beginning = of_first(_prepare(settings, data, cache, folder, start, export=export) if rank == 0 else None)
            stopped = _train(_trainer(settings, data, cache, folder, beginning), rank)
        if rank:
            return
        panoramas = PanoramaCache(data, cache)
        summary = _card(folder, panoramas)
        if stopped and export:
            err.print(
                f"stopped by a signal: no model is made; --export-only makes one of {folder}/best.safetensors",
                markup=False,
                soft_wrap=True,
            )
        elif export:
            model = _export(settings, panoramas, folder, summary, start, fit_on)
            summary = {"model": str(model), **summary}
    if json:
        print_json(summary)
    else:
        figure = _figure(settings, summary["validation"]) if summary["validation"] else "not validated"
        effort = f"best after {summary['steps']} steps, {summary['minutes']:.1f} minutes"
        out.print(f"{summary.get('model', folder)}: {effort}, {figure}", markup=False, soft_wrap=True)


def _length(
    settings: TrainingConfig, folder: Path, *, endless: bool, finish: float | None, limited: bool
) -> TrainingConfig:
    """The settings with the length of the run that was asked for."""
    if endless + limited + (finish is not None) > 1:
        raise SettingError("--endless, --minutes and --finish exclude each other; give one of them")
    if endless:
        return replace(settings, minutes=0.0)
    if finish is None:
        return settings
    if not (folder / "checkpoint.safetensors").is_file():
        raise ModelError(f"{folder}: no checkpoint.safetensors there to finish; --out names the run")
    return replace(settings, minutes=finish, decay_share=1.0)


@contextmanager
def _processes() -> Iterator[tuple[int, Callable[[Any], Any]]]:
    """This process's rank, and a function that gives the first process's value to all, once it is there.

    Joins the others where `torchrun` started several.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, lambda value: value
        return
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # The others wait while the first decodes pictures or validates.
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(hours=2))

    def of_first(value: Any) -> Any:
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    try:
        yield dist.get_rank(), of_first
    finally:
        dist.destroy_process_group()


def _prepare(
    config: TrainingConfig, data: list[Path], cache: Path, folder: Path, start: str, *, export: bool
) -> Path | None:
    """What one process does for all: decode the panoramas, and find the weights to begin with."""
    from panolink.training.data import PanoramaCache
    from panolink.training.export import check_codes, model_of_decoder
    from panolink.training.warm_start import beginning

    panoramas = PanoramaCache(data, cache)
    if not all(panoramas.split()):
        raise ImageError(f"{panoramas.name}: {len(panoramas)} panoramas are too few to train and to validate on")
    weights = beginning(start, config, folder)
    if config.decoder_only and export and weights is not None:
        check_codes(weights, model_of_decoder(start, config.profile))
    return weights


def _trainer(config: TrainingConfig, data: list[Path], cache: Path, folder: Path, beginning: Path | None) -> Trainer:
    """A trainer over the panoramas, which have been decoded."""
    from panolink.training.data import PanoramaCache
    from panolink.training.trainer import Trainer

    return Trainer(config, PanoramaCache(data, cache), folder, start=beginning)


def _train(trainer: Trainer, rank: int) -> bool:
    """Train; whether a signal ended it."""
    if rank:
        trainer.run()
        return trainer.stopped
    profile, panoramas = trainer.config.profile, len(trainer.cache)
    err.print(f"training {profile} on {panoramas} panoramas into {trainer.folder}", markup=False)
    close = _tensorboard(trainer)
    trainer.run()
    close()
    return trainer.stopped


def _figure(settings: TrainingConfig, validation: dict[str, float]) -> str:
    """What a run is summed up by."""
    if settings.indices_only:
        return f"{validation['vpsnr0']:.2f} dB VPSNR at {validation['bpp0']:.3f} bpp"
    return f"{validation['vpsnr_at_0.1']:.2f} dB VPSNR at 0.1 bpp"


def _tensorboard(trainer: Trainer) -> Callable[[], object]:
    """Have the trainer's records written as TensorBoard events; how to close the file."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        err.print(
            "no TensorBoard log, for it is not installed; get it with: pip install 'panolink[train]'", markup=False
        )
        return lambda: None
    writer = SummaryWriter(str(trainer.folder))

    def write(record: dict[str, Any]) -> None:
        step = record["step"]
        for name, value in record.items():
            if isinstance(value, dict):
                for inner, figure in value.items():
                    writer.add_scalar(f"{name}/{inner}", figure, step)
            elif name != "step":
                writer.add_scalar(f"training/{name}", value, step)

    trainer.listeners.append(write)
    return writer.close


def _card(folder: Path, cache: PanoramaCache) -> dict[str, Any]:
    """What the best weights of a run are; also written as ``metrics.json``."""
    from panolink.training.best_weights import BestWeights

    training, held_out = cache.split()
    best = BestWeights.of(folder)
    card = {
        "data": f"{len(training)} panoramas of {cache.name}, {len(held_out)} held out",
        "steps": best.step,
        "minutes": round(best.minutes, 1),
        "cpu_hours": round(best.cpu_hours, 2),
        "config": best.config,
        "validation": best.validation,
    }
    (folder / "metrics.json").write_text(dumps(card, indent=2) + "\n")
    return card


def _export(
    config: TrainingConfig, cache: PanoramaCache, folder: Path, card: dict[str, Any], start: str, fit_on: int | None
) -> Path:
    """Write the best averaged weights as a model, or as a second decoder of the one that they began with; the file."""
    from panolink.codec.networks.autoencoder import PROFILES
    from panolink.training.export import export_decoder, export_model, export_own_decoder, model_of_decoder

    profile, target = PROFILES[config.profile], folder / "weights.safetensors"
    best = folder / "best.safetensors"
    if config.decoder_only:
        model = model_of_decoder(start, config.profile)
        if config.second_decoder:
            export_decoder(best, model, target, card)
        else:
            export_own_decoder(best, model, profile, target, card)
        return target
    training, _ = cache.split()
    training = training[:: -(-len(training) // fit_on)] if fit_on else training
    apart = -(-len(training) // COUNTED_PANORAMAS)
    spread = [index for first in range(apart) for index in training[first::apart]]
    err.print(f"fitting the entropy coder on {len(spread)} panoramas, {config.copies} times each")
    counted = len(training[::apart])
    export_model(best, profile, cache, spread, target, card, copies=config.copies, counted=counted)
    return target
