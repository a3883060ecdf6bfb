"""Small networks that compute in integers: every host comes to the same numbers, in whatever order it adds.

    inputs ─ first ─ + offset ─ ReLU ─┬─ second ─ ReLU ─┬─ + ─ last ─ outputs
                                      └─────────────────┘

Weights are small integers and so is what flows between the layers. All sums stay below 2^24, which float32 holds
exactly, so that a fast matrix product may compute them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

WEIGHT_BITS, ACTIVATION_BITS = 6, 5
"""a weight counts 2^−6; an input and an activation 2^−5; a sum, and so an output, 2^−11"""

LARGEST_INPUT, LARGEST_ACTIVATION = 127, 255

EXACT = 1 << 24
"""integers up to here are exact in float32"""


@dataclass(frozen=True)
class IntegerNetwork:
    """Weights of I inputs, layers of H numbers, and O outputs."""

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
            raise ValueError(f"layers of a network of integers do not fit together: {shapes} and {self.last.shape}")
        largest = [LARGEST_INPUT * _column_sums(self.first) + (1 << 15)]
        for weights, bias in ((self.second, self.second_bias), (self.last, self.last_bias)):
            largest.append(LARGEST_ACTIVATION * _column_sums(weights) + np.abs(bias.astype(np.int64)))
        if max(int(sums.max(initial=0)) for sums in largest) >= EXACT:
            raise ValueError("weights of a network of integers are so large that its sums would not be exact")

    def __call__(
        self, inputs: NDArray[np.float32], offset: NDArray[np.int16], rows: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Outputs (n, O), integers. ``inputs`` (n, I): integers of −LARGEST_INPUT…LARGEST_INPUT, those of the ``rows``
        of ``first`` that are connected; ``offset`` (n, H): added to the first layer."""
        first, second, second_bias, last, last_bias = self._as_floats
        total = offset.astype(np.float32)
        if inputs.shape[1]:
            total += inputs @ first[rows]
        hidden = _activation(total)
        hidden += _activation(hidden @ second + second_bias)
        np.minimum(hidden, np.float32(LARGEST_ACTIVATION), out=hidden)
        return hidden @ last + last_bias

    @functools.cached_property
    def _as_floats(self) -> list[NDArray[np.float32]]:
        return [getattr(self, field.name).astype(np.float32) for field in fields(self)]


def _column_sums(weights: NDArray[np.int8]) -> NDArray[np.int64]:
    return np.abs(weights.astype(np.int64)).sum(axis=0)


def _activation(total: NDArray[np.float32]) -> NDArray[np.float32]:
    """ReLU, back from sums' units to activations', rounded."""
    half = np.float32(1 << (WEIGHT_BITS - 1))
    return np.clip(np.floor((total + half) * np.float32(2.0**-WEIGHT_BITS)), 0, LARGEST_ACTIVATION)
