"""Averages of weights: the exponential one that is validated and shipped, and the mean of late snapshots."""

# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from panolink.training.checkpoint import read_state


class WeightAverage:
    """Exponential moving average of a state; integers and the codebook's running sums are copied.

    ``values`` has the state's names; its tensors stay the same objects, as those of ``state`` have to. All of them
    move in a few calls: on a GPU, one call a tensor takes longer than a training step's arithmetic.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.values = {name: value.detach().clone() for name, value in state.items()}
        averaged = [n for n, v in state.items() if v.is_floating_point() and not n.startswith("averager.")]
        copied = [name for name in state if name not in set(averaged)]
        self._averaged = [self.values[n] for n in averaged], [state[n].detach() for n in averaged]
        self._copied = [self.values[n] for n in copied], [state[n].detach() for n in copied]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move towards the state as it is now.

        Parameters
        ----------
        decay : float
            Share of the average that stays, 0 … 1.
        """
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)

    @torch.no_grad()
    def load(self, values: dict[str, Tensor]) -> None:
        """Take the average from somewhere else; KeyError where a name is missing."""
        for name, value in self.values.items():
            value.copy_(values[name])


def mean_state(files: Iterable[Path]) -> dict[str, Tensor]:
    """Mean over files of averaged states; integers and running sums are the last file's.

    Parameters
    ----------
    files : iterable of Path
        One or more, oldest first.
    """
    states = [read_state(file) for file in files]
    last = states[-1]
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        if value.is_floating_point() and not name.startswith("averager.")
        else value
        for name, value in last.items()
    }
