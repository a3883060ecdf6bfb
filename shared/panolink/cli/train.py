"""`train`: a model from a folder of panoramas, on one process or several (`torchrun`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panolink.cli.options import Json, err, out, print_json
from panolink.errors import ImageError, ModelError

if TYPE_CHECKING:
    from panolink.training.config import TrainingConfig
    from panolink.training.trainer import Trainer

TABLE_PANORAMAS = 500
"""At most so many panoramas serve to fit the exported model's tables, which takes its time: the network that tells the
law of an index from its neighbours needs to have seen some hundreds."""


def train(
    data: Annotated[
        list[Path], typer.Option(metavar="FOLDER", help="Panoramas to learn from; may be given several times.")
    ],
    config: Annotated[str, typer.Option(help="base, perceptual, paper, or a .toml file.")] = "base",
    target: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where the run goes (runs/<config> by default).")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="How long; as the configuration says if left out.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most so many steps.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Crops a step, in each process.")] = None,
    start: Annotated[
        str,
        typer.Option(
            "--start",
            "--resume-from",
            metavar="MODEL|WEIGHTS",
            help="A shipped model or weights to begin with (under torchrun: --resume-from).",
        ),
    ] = "",
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
    json: Json = False,
) -> None:
    """Train a model. A run that was stopped goes on when started again with the same --out.

    Example: [bold]panolink train --data panoramas/ --config base --minutes 60 --out runs/base[/bold]

    Several processes: [bold]torchrun --nproc-per-node 2 -m panolink.cli train --data panoramas/[/bold]

    The folder gets weights.safetensors, a model to encode with, and metrics.json; meanwhile a checkpoint and logs.
    """
    from panolink.training.config import TrainingConfig

    settings = TrainingConfig.load(config)
    given = {"minutes": minutes, "steps": steps, "batch": batch, "copies": copies}
    settings = replace(settings, **{name: value for name, value in given.items() if value is not None})
    if settings.decoder_only and not start:
        raise ModelError(f"configuration {config!r} trains a decoder for a finished model: name it with --start")
    for one in data:
        if not one.is_dir():
            raise ImageError(f"{one}: no such folder")
    folder = target or Path("runs") / Path(config).stem
    with _processes() as (rank, of_first):
        folder.mkdir(parents=True, exist_ok=True)
        cache = cache or folder.parent / "cache"
        beginning = of_first(_prepare(settings, data, cache, folder, start) if rank == 0 else None)
        summary = _train(settings, data, cache, folder, beginning, rank, start)
    if rank == 0 and json:
        print_json(summary)
    elif rank == 0:
        figure = f"{summary['validation']['vpsnr_at_0.1']:.2f} dB VPSNR at 0.1 bpp"
        effort = f"{summary['steps']} steps, {summary['minutes']:.1f} minutes"
        out.print(f"{summary['model']}: {effort}, {figure}", markup=False, soft_wrap=True)


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


def _prepare(config: TrainingConfig, data: list[Path], cache: Path, folder: Path, start: str) -> Path | None:
    """What one process does for all: decode the panoramas, and find the weights to begin with."""
    from panolink.training.data import PanoramaCache
    from panolink.training.warm_start import beginning

    panoramas = PanoramaCache(data, cache)
    if not all(panoramas.split()):
        raise ImageError(f"{panoramas.name}: {len(panoramas)} panoramas are too few to train and to validate on")
    return beginning(start, config, folder)


def _train(
    config: TrainingConfig, data: list[Path], cache: Path, folder: Path, beginning: Path | None, rank: int, start: str
) -> dict[str, Any]:
    """Train and, in the first process, export; what the run came to."""
    from panolink.training.data import PanoramaCache
    from panolink.training.trainer import Trainer

    panoramas = PanoramaCache(data, cache)
    trainer = Trainer(config, panoramas, folder, start=beginning)
    if rank:
        trainer.run()
        return {}
    err.print(f"training {config.profile} on {len(panoramas)} panoramas into {folder}", markup=False)
    close = _tensorboard(trainer)
    began = time.monotonic()
    validation = trainer.run()
    minutes = trainer.spent_minutes + (time.monotonic() - began) / 60
    close()
    return _export(trainer, minutes, validation, start)


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


def _export(trainer: Trainer, minutes: float, validation: dict[str, float], start: str) -> dict[str, Any]:
    """Write the best averaged weights as a model, or as a decoder of ``start``, and `metrics.json`; its content."""
    from panolink.codec.model import load_model
    from panolink.training.export import export_decoder, export_model

    training, held_out = trainer.cache.split()
    card = {
        "data": f"{len(training)} panoramas of {trainer.cache.name}, {len(held_out)} held out",
        "steps": trainer.step,
        "minutes": round(minutes, 1),
        "cpu_hours": round(trainer.cpu_hours, 2),
        "config": asdict(trainer.config),
        "validation": validation,
    }
    target = trainer.folder / "weights.safetensors"
    best = trainer.folder / "best.safetensors"
    if trainer.config.decoder_only:
        export_decoder(best, load_model(start), target, card)
    else:
        some = training[:: -(-len(training) // TABLE_PANORAMAS)]
        copies = trainer.config.copies
        err.print(f"fitting the entropy coder on {len(some)} panoramas, {copies} times each")
        export_model(best, trainer.model.profile, trainer.cache, some, target, card, copies=copies)
    (trainer.folder / "metrics.json").write_text(dumps(card, indent=2) + "\n")
    return {"model": str(target), **card}
