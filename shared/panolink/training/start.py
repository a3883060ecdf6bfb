"""To begin a run with a model that is finished."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from panolink.codec.model import Model
from panolink.codec.tables import LEVEL_ZERO, TOTAL
from panolink.training.codebook import CodebookAverager


def starting_state(model: Model, *, tokens: int) -> dict[str, Tensor]:
    """What `Trainer` takes as `start`: a model's weights, and its tables turned back into running sums and laws.

    Tables hold a code's share of all tokens and the scales of its differences; ``tokens`` of one batch make counts
    and sums of them, so that the codebook stays where it is and moves from there.
    """
    codebook = model.network.codebook
    averager = CodebookAverager(*codebook.shape)
    levels = torch.from_numpy(model.tables.levels.astype(np.float32))
    count = torch.from_numpy(model.tables.code_frequencies / TOTAL).float() * tokens
    averager.count.copy_(count)
    averager.weight.copy_(count)
    averager.total.copy_(codebook * count[:, None])
    averager.spread.copy_(torch.exp2((levels - LEVEL_ZERO) / 4) * count[:, None])
    averager.law.copy_(torch.from_numpy(model.tables.symbol_frequencies).float() / TOTAL)
    state = {**model.network.state_dict(), **{f"averager.{k}": v for k, v in averager.state_dict().items()}}
    return {name: value.clone().contiguous() for name, value in state.items()}
