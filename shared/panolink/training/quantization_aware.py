"""Training integer networks (`panolink.codec.entropy.integer_network`): floats, rounded as they are stored."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from panolink.codec.entropy.integer_network import ACTIVATION_BITS, MAX_ACTIVATION, WEIGHT_BITS, IntegerNetwork

SUM_BITS = WEIGHT_BITS + ACTIVATION_BITS

Stored = TypeVar("Stored", np.int8, np.int16)


def rounded(value: Tensor, bits: int, width: int = 8) -> Tensor:
    """Round to what a fixed-point number holds; gradients go straight through.

    Parameters
    ----------
    value : Tensor
    bits : int
        After the point: multiples of 2^−bits.
    width : int
        Bits in all, the sign's included.
    """
    most = (1 << (width - 1)) - 1
    nearest = (value * (1 << bits)).round().clamp(-most, most) / (1 << bits)
    return value + (nearest - value).detach()


def stored(value: Tensor, bits: int, kind: type[Stored]) -> NDArray[Stored]:
    """The integers that `rounded` stands for.

    Parameters
    ----------
    value : Tensor
    bits : int
        After the point.
    kind : type
        np.int8 or np.int16.
    """
    return (rounded(value.detach(), bits, np.iinfo(kind).bits) * (1 << bits)).round().numpy().astype(kind)


def codes_as_vectors(codebook: Tensor, size: int) -> Tensor:
    """Vectors to start embeddings with: the codes' first principal components, and zeros for no code.

    Parameters
    ----------
    codebook : (K, dim)
    size : int
        Of an embedding.

    Returns
    -------
    Tensor
        (K + 1, size)
    """
    centred = (codebook - codebook.mean(dim=0)).float()
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    start = torch.zeros(len(codebook) + 1, size)
    width = min(size, left.shape[1])
    start[:-1, :width] = (left * values)[:, :width]
    return start / start.std().clamp_min(1e-6) / 2


class TrainedIntegers(nn.Module):
    """``fan_in``: inputs that are connected at a time, of ``inputs``; ``spread``: of the last layer's weights."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, fan_in: int, spread: float = 1.0) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(inputs, hidden) / math.sqrt(fan_in))
        self.second = nn.Parameter(torch.randn(hidden, hidden) / math.sqrt(hidden) / 2)
        self.second_bias = nn.Parameter(torch.zeros(hidden))
        self.last = nn.Parameter(spread * torch.randn(hidden, outputs) / math.sqrt(hidden))
        self.last_bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, inputs: Tensor, offset: Tensor, rows: slice = slice(None)) -> Tensor:
        """Outputs as of `IntegerNetwork`, whose numbers these are in units of 1, but for ties of rounding.

        Parameters
        ----------
        inputs : (n, I')
        offset : (n, H)
            Added to the first layer's sums.
        rows : slice
            Which rows of ``first`` the I' inputs are connected to.

        Returns
        -------
        Tensor
            (n, O)
        """
        most = MAX_ACTIVATION / (1 << ACTIVATION_BITS)
        total = inputs @ rounded(self.first[rows], WEIGHT_BITS) + offset
        hidden = rounded(total, ACTIVATION_BITS, 32).clamp(0, most)
        total = hidden @ rounded(self.second, WEIGHT_BITS) + rounded(self.second_bias, SUM_BITS, 16)
        hidden = (hidden + rounded(total, ACTIVATION_BITS, 32).clamp(0, most)).clamp_max(most)
        return hidden @ rounded(self.last, WEIGHT_BITS) + rounded(self.last_bias, SUM_BITS, 16)

    def to_integers(self) -> IntegerNetwork:
        return IntegerNetwork(
            first=stored(self.first, WEIGHT_BITS, np.int8),
            second=stored(self.second, WEIGHT_BITS, np.int8),
            second_bias=stored(self.second_bias, SUM_BITS, np.int16),
            last=stored(self.last, WEIGHT_BITS, np.int8),
            last_bias=stored(self.last_bias, SUM_BITS, np.int16),
        )


def learning_rate(step: int, steps: int, highest: float) -> float:
    """A short rise, then a cosine to zero.

    Parameters
    ----------
    step, steps : int
        Of how many.
    highest : float
        The rate at the end of the rise.
    """
    return highest * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
