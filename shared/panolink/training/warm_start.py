"""Warm-start training from an exported model, or from the state of an earlier run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from panolink.codec.entropy.tables import LEVEL_ZERO, TOTAL
from panolink.codec.model import Model, load_model
from panolink.codec.networks.autoencoder import PROFILES
from panolink.errors import ModelError
from panolink.training.checkpoint import load_pieces, save_state
from panolink.training.codebook_ema import CodebookAverager
from panolink.training.config import TrainingConfig

STARTING_WEIGHTS = "start.safetensors"


def beginning(start: str, config: TrainingConfig, folder: Path) -> Path | None:
    """Find the file of weights to begin with. A finished model is turned into one, in the run's folder.

    Parameters
    ----------
    start : str
        A shipped model's name, a file of weights or of a model, a folder with a state in pieces; empty for none.
    config : TrainingConfig
    folder : Path
        Of the run.

    Returns
    -------
    Path or None
        None where there is no start.

    Raises
    ------
    ModelError
        It cannot be read, or is of another profile.
    """
    if not start:
        return None
    if Path(start).is_dir():
        save_state(folder / STARTING_WEIGHTS, load_pieces(Path(start)))
        return folder / STARTING_WEIGHTS
    if is_state(start):
        return Path(start)
    model = load_model(start)
    if model.profile.name != config.profile:
        raise ModelError(
            f"{start}: a model of profile {model.profile.name!r}, the configuration is for {config.profile!r}"
        )
    wanted = PROFILES[config.profile]
    for name in (field.name for field in fields(wanted) if field.name != "ranking"):
        its, ours = getattr(model.profile, name), getattr(wanted, name)
        if its != ours:
            raise ModelError(f"{start}: its {name} is {its}; profile {config.profile!r} has {ours} by now")
    tokens = config.batch * (config.crop // model.profile.factor) ** 2
    save_state(folder / STARTING_WEIGHTS, starting_state(model, tokens=tokens))
    return folder / STARTING_WEIGHTS


def is_state(start: str) -> bool:
    """Whether a start is a file of a run's weights, with the sums behind scales and symbols, and no finished model.

    Parameters
    ----------
    start : str
        A model's name, or a file.

    Raises
    ------
    ModelError
        It cannot be read.
    """
    if Path(start).suffix != ".safetensors":
        return False
    try:
        with safe_open(start, framework="pt") as file:
            return any(name.startswith("averager.") for name in file.keys())  # noqa: SIM118 (safe_open is no dict)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{start}: not a readable weights file ({error})") from None


def starting_state(model: Model, *, tokens: int) -> dict[str, Tensor]:
    """What `Trainer` takes as `start`: a model's weights, and its tables turned back into running sums.

    Tables hold a code's share of all tokens, the scales of its differences, and the distributions of symbols.

    Parameters
    ----------
    model : Model
    tokens : int
        Of one batch: what counts and sums are made of, so that the codebook stays where it is and moves from there.
    """
    codebook = model.network.codebook
    averager = CodebookAverager(*codebook.shape)
    levels = torch.from_numpy(model.tables.levels.astype(np.float32))
    count = torch.from_numpy(model.tables.code_frequencies / TOTAL).float() * tokens
    averager.count.copy_(count)
    averager.weight.copy_(count)
    averager.total.copy_(codebook * count[:, None])
    averager.spread.copy_(torch.exp2((levels - LEVEL_ZERO) / 4) * count[:, None])
    averager.symbol_pmf.copy_(torch.from_numpy(model.tables.symbol_frequencies).float() / TOTAL)
    state = {**model.network.state_dict(), **{f"averager.{k}": v for k, v in averager.state_dict().items()}}
    return {name: value.clone().contiguous() for name, value in state.items()}
