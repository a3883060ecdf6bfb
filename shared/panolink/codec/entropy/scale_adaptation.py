"""Scale adaptation within a token: each coded group of its dimensions corrects the scales of the next one.

A code's table holds how large the differences from that code are on average. A token that differs more in its first
dimensions does so in its later ones too. So symbols are coded in groups of dimensions, and the scale class of a group
is shifted by how the magnitudes of the groups before it compare with those that their classes let expect. All in
integers, and within one token: the cost of a token depends on no other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.tables import CLASSES, CONFIDENCE_LEVELS, RATIO_LEVELS, UNIT, Tables
from panolink.jit import kernel

MAX_COUNTED_MAGNITUDE = 15
"""a magnitude counts for no more, so that one outlier does not rule the rest"""

RATIO_BOUNDS = np.rint(np.exp2((np.arange(RATIO_LEVELS - 1) - (RATIO_LEVELS - 2) / 2) / 3) * (1 << 12)).astype(np.int64)
"""between thirds of an octave of observed ÷ expected magnitude, in 1/4096"""

CONFIDENCE_BOUNDS = np.array([UNIT, 4 * UNIT])
"""expected sums from which on a ratio rests on more evidence"""

OFFSET = 7 * UNIT // 10
"""added to both sums, so that the ratio is 1 where nothing was expected yet"""


class ScaleAdaptation:
    """Running sums of n tokens over the groups coded so far: call `classes`, then `update`, group by group."""

    def __init__(self, tables: Tables, tokens: int) -> None:
        self._shifts = tables.shifts.astype(np.int64)
        self._expected_magnitude = tables.expected_magnitude.astype(np.int64)
        self._sums = np.zeros((tokens, 2), dtype=np.int64)

    def contexts(self) -> NDArray[np.int64]:
        """Column of ``Tables.shifts`` that applies to each token, (n,)."""
        return _contexts(self._sums)

    def classes(self, group: int, initial: NDArray[np.integer]) -> NDArray[np.int64]:
        """Adapted scale classes of a group.

        Parameters
        ----------
        group : int
            Its number in ``Tables.groups``.
        initial : (n, width)
            Classes before adaptation, see ``Tables.classes``.

        Returns
        -------
        (n, width)
            Class 0 stays: it is never coded.
        """
        return _classes(self._sums, self._shifts[group], initial)

    def update(self, initial: NDArray[np.integer], symbols: NDArray[np.signedinteger]) -> None:
        """Add a group's symbols (n, width), and what their classes before adaptation let expect, to the sums."""
        _update(self._sums, self._expected_magnitude, initial, symbols)


def adapted_classes(
    tables: Tables, initial: NDArray[np.integer], symbols: NDArray[np.signedinteger]
) -> NDArray[np.integer]:
    """Scale classes (n, dim) with which known ``symbols`` (n, dim) are coded, from ``initial`` classes (n, dim)."""
    adaptation, classes = ScaleAdaptation(tables, len(initial)), np.empty_like(initial)
    for group, dims in enumerate(tables.groups):
        classes[:, dims] = adaptation.classes(group, initial[:, dims])
        adaptation.update(initial[:, dims], symbols[:, dims])
    return classes


@kernel
def adaptation_context(observed: int, expected: int) -> int:
    """Context of a token whose groups so far sum to ``observed`` and ``expected`` magnitudes, in 1/UNIT."""
    scaled, over, context = (observed + OFFSET) << 12, expected + OFFSET, 0
    for bound in RATIO_BOUNDS:  # scaled // over >= bound, without a division
        context += scaled >= bound * over
    context *= CONFIDENCE_LEVELS
    for bound in CONFIDENCE_BOUNDS:
        context += expected >= bound
    return context


@kernel
def next_sum(total: int, here: int) -> int:
    """Sum of magnitudes over the groups so far, with what a group adds ``here``: earlier ones count for less."""
    return (5 * total >> 3) + here


@kernel
def shifted_class(initial: int, shift: int) -> int:
    """A scale class shifted within 1…CLASSES − 1; class 0 stays."""
    return min(max(initial + shift, 1), CLASSES - 1) if initial > 0 else 0


def adapted_class_table(tables: Tables) -> NDArray[np.uint8]:
    """Adapted scale class by group, context and class before adaptation: uint8 (groups, contexts, CLASSES)."""
    classes = np.arange(CLASSES)
    adapted = np.clip(classes + tables.shifts.astype(np.int64)[..., None], 1, CLASSES - 1)
    return np.where(classes > 0, adapted, 0).astype(np.uint8)


@kernel
def _contexts(sums):
    contexts = np.empty(len(sums), np.int64)
    for token in range(len(sums)):
        contexts[token] = adaptation_context(sums[token, 0], sums[token, 1])
    return contexts


@kernel
def _classes(sums, shifts, initial):
    classes = np.empty(initial.shape, np.int64)
    for token in range(len(initial)):
        shift = shifts[adaptation_context(sums[token, 0], sums[token, 1])]
        for dim in range(initial.shape[1]):
            classes[token, dim] = shifted_class(initial[token, dim], shift)
    return classes


@kernel
def _update(sums, expected_magnitude, initial, symbols):
    for token in range(len(initial)):
        observed, expected = 0, 0
        for dim in range(initial.shape[1]):
            observed += min(abs(symbols[token, dim]), MAX_COUNTED_MAGNITUDE)
            expected += expected_magnitude[initial[token, dim]]
        sums[token, 0] = next_sum(sums[token, 0], UNIT * observed)
        sums[token, 1] = next_sum(sums[token, 1], expected)
