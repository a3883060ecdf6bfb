"""Integer networks: small multilayer perceptrons whose results are the same on every host, in any order of sums.

    inputs ─ first ─ + offset ─ ReLU ─┬─ second ─ ReLU ─┬─ + ─ last ─ outputs
                                      └─────────────────┘

Weights, inputs and activations are small integers. All sums stay below 2^24, which float32 holds exactly, so that an
int8 product (VNNI), a float32 product or 64-bit integers give the same numbers: the fastest that the processor
computes exactly is taken.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.cpu import parallel, row_chunks
from panolink.jit import kernel

WEIGHT_BITS, ACTIVATION_BITS = 6, 5
"""a weight counts 2^−6; an input and an activation 2^−5; a sum, and so an output, 2^−11"""

MAX_INPUT, MAX_ACTIVATION = 127, 255

EXACT = 1 << 24
"""integers up to here are exact in float32"""

_CENTRE = 128
"""taken from activations 0…255 so that they fit into int8; the product gives it back as a constant"""


@dataclass(frozen=True)
class IntegerNetwork:
    """Weights of a network with I inputs, layers of H activations, and O outputs.

    Raises
    ------
    ValueError
        Layers that do not fit together, or weights so large that a sum could reach 2^24.
    """

    first: NDArray[np.int8]
    """(I, H)"""
    second: NDArray[np.int8]
    """(H, H)"""
    second_bias: NDArray[np.int16]
    """(H,)"""
    last: NDArray[np.int8]
    """(H, O)"""
    last_bias: NDArray[np.int16]
    """(O,)"""

    def __post_init__(self) -> None:
        hidden, outputs = self.last.shape
        shapes = [self.first.shape[1:], self.second.shape, self.second_bias.shape, self.last_bias.shape]
        if shapes != [(hidden,), (hidden, hidden), (hidden,), (outputs,)]:
            raise ValueError(f"layers of an integer network do not fit together: {shapes} and {self.last.shape}")
        largest = [MAX_INPUT * _column_sums(self.first) + (1 << 15)]
        for weights, bias in ((self.second, self.second_bias), (self.last, self.last_bias)):
            largest.append(MAX_ACTIVATION * _column_sums(weights) + np.abs(bias.astype(np.int64)))
        if max(int(sums.max(initial=0)) for sums in largest) >= EXACT:
            raise ValueError("weights of an integer network are so large that its sums would not be exact")

    def __call__(
        self, inputs: NDArray[np.int8], offset: NDArray[np.int16], rows: slice = slice(None)
    ) -> NDArray[np.int32]:
        """Outputs of n tokens.

        Parameters
        ----------
        inputs : NDArray[np.int8]
            int8 (n, I'), −MAX_INPUT … MAX_INPUT.
        offset : NDArray[np.int16]
            int16 (n, H), added to the first layer's sums.
        rows : slice
            Which rows of ``first`` the I' inputs are connected to.

        Returns
        -------
        int32 (n, O), in units of 2^−11.
        """
        return self.after_first(offset + self.first_product(inputs, rows))

    def first_product(self, inputs: NDArray[np.int8], rows: slice = slice(None)) -> NDArray[np.int32]:
        """What ``inputs`` add to the first layer's sums, int32 (n, H); parameters as of ``__call__``."""
        if not inputs.shape[1]:
            return np.zeros((len(inputs), self.first.shape[1]), dtype=np.int32)
        with torch.inference_mode():
            return product(torch.from_numpy(inputs), self._layers.first[rows]).numpy()

    def look_up_table(self, embedding: NDArray[np.int8], places: int) -> NDArray[np.integer]:
        """What each code adds to the first layer's sums at each of the places that look at one.

        Parameters
        ----------
        embedding : int8 (codes, E)
        places : int
            S: the first S · E inputs of the network are embeddings of codes.

        Returns
        -------
        int16 or int32 (S, codes, H)
        """
        size = embedding.shape[1]
        weights = self.first[: places * size].reshape(places, size, self.first.shape[1])
        table = embedding.astype(np.float32) @ weights.astype(np.float32)
        return np.ascontiguousarray(table, dtype=np.int16 if np.abs(table).max(initial=0) < 1 << 15 else np.int32)

    def after_first(self, total: NDArray[np.int32]) -> NDArray[np.int32]:
        """Outputs int32 (n, O) from the first layer's sums int32 (n, H), in units of 2^−11."""
        layers, chunks = self._layers, row_chunks(len(total), 256)
        hidden = np.empty(total.shape, dtype=np.int8)
        parallel(lambda some: _activate(total[some], hidden[some]), chunks)
        with torch.inference_mode():
            second = product(torch.from_numpy(hidden), layers.second).numpy()
        parallel(lambda some: _add_activation(second[some], layers.second_bias, hidden[some]), chunks)
        with torch.inference_mode():
            return product(torch.from_numpy(hidden), layers.last).add_(layers.last_bias).numpy()

    @functools.cached_property
    def _layers(self) -> _Layers:
        def bias(weights: NDArray[np.int8], own: NDArray[np.int16]) -> Tensor:
            return torch.from_numpy((own + _CENTRE * weights.astype(np.int64).sum(axis=0)).astype(np.int32))

        return _Layers(
            first=torch.from_numpy(self.first),
            second=torch.from_numpy(self.second),
            second_bias=bias(self.second, self.second_bias).numpy(),
            last=torch.from_numpy(self.last),
            last_bias=bias(self.last, self.last_bias),
        )


@dataclass(frozen=True)
class _Layers:
    """Weights as tensors; biases (int32) undo the centring of activations."""

    first: Tensor
    second: Tensor
    second_bias: NDArray[np.int32]
    last: Tensor
    last_bias: Tensor


def product(a: Tensor, b: Tensor) -> Tensor:
    """The exact product of int8 matrices (n, k) and (k, m): int32 (n, m). Sums of magnitudes stay below 2^24."""
    if _int8_is_exact():
        return torch.ops.aten._int_mm(a, b)
    return (a.float() @ b.float()).int()


@functools.cache
def _int8_is_exact() -> bool:
    """Whether this processor has fast int8 products, and they do not saturate: without VNNI, pairs of products are
    added in 16 bits on some."""
    if not torch.cpu._is_vnni_supported():
        return False
    a = torch.tensor([[127, 127], [-128, -128], [127, -128]], dtype=torch.int8).repeat(11, 40)
    b = torch.tensor([[127, -127], [127, -127]], dtype=torch.int8).repeat(40, 12)
    try:
        return torch.equal(torch.ops.aten._int_mm(a, b).long(), a.long() @ b.long())
    except RuntimeError:
        return False


def _column_sums(weights: NDArray[np.int8]) -> NDArray[np.int64]:
    return np.abs(weights.astype(np.int64)).sum(axis=0)


@kernel
def _rounded(total):
    """ReLU of a sum, back in activations' units: 0 … MAX_ACTIVATION."""
    return min(max((total + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS, 0), MAX_ACTIVATION)


@kernel
def _activate(total, hidden):
    """Activations of sums int32 (n, H), centred: int8 (n, H)."""
    for token in range(total.shape[0]):
        for place in range(total.shape[1]):
            hidden[token, place] = _rounded(total[token, place]) - _CENTRE


@kernel
def _add_activation(total, bias, hidden):
    """Add activations of sums int32 (n, H) and their ``bias`` (H,) to centred ones, int8 (n, H), in place."""
    for token in range(total.shape[0]):
        for place in range(total.shape[1]):
            more = _rounded(total[token, place] + bias[place])
            hidden[token, place] = min(hidden[token, place] + _CENTRE + more, MAX_ACTIVATION) - _CENTRE


def look_up_sum(
    table: NDArray[np.integer], codes: NDArray[np.integer], offsets: NDArray[np.int16], rows: NDArray[np.int64]
) -> NDArray[np.int32]:
    """The first layer's sums of n tokens, from look-ups alone.

    Parameters
    ----------
    table : (S, codes, H)
        See `IntegerNetwork.look_up_table`.
    codes : (n, S)
        At each place of each token.
    offsets : (rows, H)
        What is added to them; ``rows`` (n,) says which of its rows, for each token.

    Returns
    -------
    int32 (n, H)
    """
    total = np.empty((len(codes), offsets.shape[1]), dtype=np.int32)
    codes = np.ascontiguousarray(codes, dtype=np.int32)
    parallel(
        lambda some: _look_up_sum(table, codes[some], offsets, rows[some], total[some]), row_chunks(len(codes), 256)
    )
    return total


@kernel
def _look_up_sum(table, codes, offsets, rows, total):
    places, width = codes.shape[1], total.shape[1]
    partial = np.empty(width, np.int32)
    for token in range(total.shape[0]):
        offset = offsets[rows[token]]
        for unit in range(width):
            partial[unit] = offset[unit]
        for place in range(0, places - 2, 3):  # three at a time: a third of the loads and stores
            first, second = table[place, codes[token, place]], table[place + 1, codes[token, place + 1]]
            third = table[place + 2, codes[token, place + 2]]
            for unit in range(width):
                partial[unit] += np.int32(first[unit]) + np.int32(second[unit]) + np.int32(third[unit])
        for place in range(places // 3 * 3, places):
            first = table[place, codes[token, place]]
            for unit in range(width):
                partial[unit] += first[unit]
        for unit in range(width):
            total[token, unit] = partial[unit]
