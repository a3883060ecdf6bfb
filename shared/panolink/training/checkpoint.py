"""What a run leaves on disk: a checkpoint to go on from exactly, and averaged states, whole or in pieces."""

from __future__ import annotations

import hashlib
import json
import secrets
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.weights_files import write_weights
from panolink.errors import ModelError
from panolink.training.codebook_ema import CodebookAverager
from panolink.training.config import TrainingConfig
from panolink.training.context_rate import ContextRate

if TYPE_CHECKING:
    from panolink.training.trainer import Trainer

FORMER_NAMES = {"averager.law": "averager.symbol_pmf"}
"""ends of tensors' names in files of earlier versions, and what they are called now"""

PIECE_BYTES = 15 << 20
"""of one file of a state in pieces"""

OF_ONE_RUN = ("profile", "decoder_only", "inner_kernels_only", "context_rate")
"""settings by which parameters have their optimisers: a checkpoint of others cannot go on"""


def save_checkpoint(trainer: Trainer, minutes: float) -> None:
    """Write weights, averages, optimisers, random numbers and counters, beside the last checkpoint, and rename.

    Parameters
    ----------
    trainer : Trainer
    minutes : float
        That this call has taken so far.
    """
    tensors = {f"model.{name}": value for name, value in trainer.state().items()}
    tensors |= {f"averaged.{name}": value for name, value in trainer.averaged.items()}
    for name, optimizer in _optimizers(trainer).items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors |= under("discriminator.", trainer.discriminator) | under("centred.", trainer.centred)
    tensors |= under("idle.", trainer.idle)
    tensors |= {f"random.{name}": value for name, value in _random_state(trainer.device).items()}
    counters = {
        "step": trainer.step,
        "minutes": trainer.spent_minutes + minutes,
        "cpu_hours": trainer.cpu_hours,
        "start": trainer.start,
        "config": asdict(trainer.config),
    }
    save_state(trainer.checkpoint, tensors, {"counters": json.dumps(counters)})


def load_checkpoint(trainer: Trainer) -> None:
    """Put a trainer where `save_checkpoint` found it.

    Parameters
    ----------
    trainer : Trainer
        Of the same configuration, but for settings that may change on the way.

    Raises
    ------
    ModelError
        The checkpoint cannot be read, is of another profile, of a run that trained other parameters, or of one that
        began with other weights.
    """
    try:
        with safe_open(trainer.checkpoint, framework="pt") as file:
            counters = json.loads(file.metadata()["counters"])
        tensors = read_state(trainer.checkpoint)
    except SafetensorError as error:
        raise ModelError(f"{trainer.checkpoint}: not a readable checkpoint ({error})") from None
    known = {field.name for field in fields(TrainingConfig)}
    then = TrainingConfig(**{name: value for name, value in counters.get("config", {}).items() if name in known})
    for name in OF_ONE_RUN:
        its, ours = getattr(then, name), getattr(trainer.config, name)
        if its != ours:
            raise ModelError(f"{trainer.checkpoint}: of a run with {name} = {its!r}, not {ours!r}; give another --out")
    began = counters.get("start", trainer.start)  # files of earlier versions do not tell
    if trainer.start and trainer.start != began:
        raise ModelError(
            f"{trainer.checkpoint}: of a run that began with other weights; give another --out, or no --start to go on"
        )
    trainer.start = began
    load_state(below("model.", tensors), trainer.model, trainer.averager, trainer.context)
    trainer.average.load(below("averaged.", tensors))
    trainer.discriminator.load_state_dict(below("discriminator.", tensors))
    means = below("centred.", tensors)
    if means.keys() == trainer.centred.state_dict().keys():  # not so in files of earlier versions
        trainer.centred.load_state_dict(means)  # otherwise the next look goes all the way
    if looks := below("idle.", tensors):  # nor are these
        trainer.idle.load_state_dict(looks)
    for name, optimizer in _optimizers(trainer).items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in below(f"{name}.", tensors).items():
            index, field = key.split(".")
            state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        _lay_out(optimizer)
    trainer.step, trainer.spent_minutes = counters["step"], counters["minutes"]
    trainer.spent_cpu_hours = counters.get("cpu_hours", 0.0)
    random = below("random.", tensors)
    if "cpu" in random:
        torch.set_rng_state(random["cpu"])
    else:
        torch.manual_seed(trainer.config.seed + trainer.step)
    if "cuda" in random and trainer.device.type == "cuda":
        torch.cuda.set_rng_state(random["cuda"], trainer.device)


def save_state(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors of a run; see `panolink.codec.weights_files.write_weights`.

    Parameters
    ----------
    path : Path
        Ends in `.safetensors`.
    tensors : mapping of str to Tensor
    metadata : dict, optional
        Strings for the file's header.
    """
    write_weights(path, {name: value.detach().contiguous().clone() for name, value in tensors.items()}, metadata)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a file that `save_state` wrote, now or in an earlier version.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to Tensor
        By the names that tensors have now.
    """
    return {_renamed(name): value for name, value in load_file(path).items()}


def digest_of_networks(path: Path) -> str:
    """A digest of the networks in a file of weights; the sums behind scales depend on the crops of a step.

    Parameters
    ----------
    path : Path
    """
    digest = hashlib.sha256()
    for name, value in sorted(of_networks(read_state(path)).items()):
        digest.update(name.encode() + value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _renamed(name: str) -> str:
    for former, now in FORMER_NAMES.items():
        if name.endswith(former):
            return name.removesuffix(former) + now
    return name


def save_pieces(folder: Path, state: Mapping[str, Tensor], *, piece_bytes: int = PIECE_BYTES) -> list[Path]:
    """Write a state as ``state-0.safetensors`` and so on.

    A tensor that does not fit is cut: its parts are called ``name@row``. Each file says how many there are, and by a
    random word which of them were written together.

    Parameters
    ----------
    folder : Path
    state : mapping of str to Tensor
    piece_bytes : int
        Size of a file at most; tensors are cut by their first dimension.

    Returns
    -------
    list of Path
        The files.
    """
    pieces: list[dict[str, Tensor]] = [{}]
    room = piece_bytes - (1 << 16)  # the header's
    free = room
    for name, value in state.items():
        parts = {name: value}
        if value.nbytes > free and value.ndim and len(value) > 1:
            rows = max(1, room // 4 // max(1, value.nbytes // len(value)))
            parts = {f"{name}@{i}": value[i : i + rows] for i in range(0, len(value), rows)}
        for part, tensor in parts.items():
            if tensor.nbytes > free:
                pieces.append({})
                free = room
            pieces[-1][part] = tensor
            free -= tensor.nbytes
    files = [folder / f"state-{number}.safetensors" for number in range(len(pieces))]
    metadata = {"pieces": str(len(pieces)), "saved": secrets.token_hex(8)}
    for file, piece in zip(files, pieces, strict=True):
        save_state(file, piece, metadata)
    return files


def load_pieces(folder: Path) -> dict[str, Tensor]:
    """Read what `save_pieces` wrote.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to Tensor
        By the names that tensors have now.

    Raises
    ------
    ModelError
        There is nothing, or not all of it, or something of another state, or a file that cannot be read.
    """
    files = sorted(folder.glob("state-*.safetensors"), key=lambda file: int(file.stem.split("-")[1]))
    if not files:
        raise ModelError(f"{folder}: no state-0.safetensors there; wanted a state in pieces, or a file of weights")
    parts: dict[str, dict[int, Tensor]] = {}
    saved: set[str] = set()
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                metadata = opened.metadata() or {}
                tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (safe_open is no dict)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{file}: not a readable weights file ({error})") from None
        count = int(metadata.get("pieces", 0))
        if count > len(files):
            raise ModelError(f"{folder}: {len(files)} of the {count} pieces of a state are there")
        saved.add(metadata.get("saved", ""))  # files of earlier versions do not tell
        if count != len(files) or len(saved) > 1:
            raise ModelError(f"{file}: of another state than the pieces beside it; keep one state's files in {folder}")
        for key, value in tensors.items():
            name, _, row = key.partition("@")
            parts.setdefault(_renamed(name), {})[int(row or 0)] = value
    return {
        name: torch.cat([of[row] for row in sorted(of)]) if len(of) > 1 else next(iter(of.values()))
        for name, of in parts.items()
    }


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def under(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """A module's state, its names with ``prefix`` before them."""
    return {prefix + name: value for name, value in module.state_dict().items()}


def of_networks(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a run's state what a model is made of: networks and codebook."""
    return {name: value for name, value in state.items() if not name.startswith(("averager.", "context."))}


def load_state(
    state: dict[str, Tensor], model: Autoencoder, averager: CodebookAverager, context: ContextRate | None = None
) -> None:
    """Put what ``Trainer.state`` gave into a model and its averager.

    Parameters
    ----------
    state : dict of str to Tensor
        Of a model of the same sizes.
    model : Autoencoder
    averager : CodebookAverager
    context : ContextRate, optional
        Begins from the codes where the state has none.

    Raises
    ------
    ModelError
        The state is of another size.
    """
    try:
        model.load_state_dict(of_networks(state))
        averager.load_state_dict(below("averager.", state))
        if context is not None and (found := below("context.", state)):
            context.load_state_dict(found)
        elif context is not None:
            context.begin(model.codebook)
    except RuntimeError as error:
        reason = textwrap.shorten(str(error).splitlines()[1], 200, placeholder=" …")
        raise ModelError(f"weights that do not fit today's profile {model.profile.name!r}: {reason}") from None


def _optimizers(trainer: Trainer) -> dict[str, torch.optim.Optimizer]:
    return {**trainer.optimizers, "adversary": trainer.adversary}


def _random_state(device: torch.device) -> dict[str, Tensor]:
    found = {"cpu": torch.get_rng_state()}
    return found | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else found


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give what an optimiser holds of each parameter that parameter's strides, which files do not keep.

    Fused steps walk through memory: moments laid out otherwise than their weights would be other weights' moments.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
