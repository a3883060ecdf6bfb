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
        inputs : int8 (n, I'), −MAX_INPUT … MAX_INPUT.
        offset : int16 (n, H), added to the first layer's sums.
        rows : which rows of ``first`` the I' inputs are connected to.

        Returns
        -------
        int32 (n, O), in units of 2^−11.
        """
        layers = self._layers
        with torch.inference_mode():
            total = torch.from_numpy(offset).int()
            if inputs.shape[1]:
                total = total + product(torch.from_numpy(inputs), layers.first[rows])
            hidden = _activation(total)
            hidden = hidden + _activation(product(_centred(hidden), layers.second) + layers.second_bias)
            hidden = hidden.clamp_(max=MAX_ACTIVATION)
            return (product(_centred(hidden), layers.last) + layers.last_bias).numpy()

    @functools.cached_property
    def _layers(self) -> _Layers:
        def bias(weights: NDArray[np.int8], own: NDArray[np.int16]) -> Tensor:
            return torch.from_numpy((own + _CENTRE * weights.astype(np.int64).sum(axis=0)).astype(np.int32))

        return _Layers(
            first=torch.from_numpy(self.first),
            second=torch.from_numpy(self.second),
            second_bias=bias(self.second, self.second_bias),
            last=torch.from_numpy(self.last),
            last_bias=bias(self.last, self.last_bias),
        )


@dataclass(frozen=True)
class _Layers:
    """Weights as tensors; biases (int32) undo the centring of activations."""

    first: Tensor
    second: Tensor
    second_bias: Tensor
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


def _activation(total: Tensor) -> Tensor:
    """ReLU of sums int32, back in activations' units, rounded: int32 0 … MAX_ACTIVATION."""
    return ((total + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp_(0, MAX_ACTIVATION)


def _centred(hidden: Tensor) -> Tensor:
    return (hidden - _CENTRE).to(torch.int8)
