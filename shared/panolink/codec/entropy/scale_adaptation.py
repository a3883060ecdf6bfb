"""Learning a token's liveliness while it is coded: each group of its dimensions corrects the scales of the next.

A code's table knows how large the differences from that code are on average. A token that differs more in its first
dimensions does so in its later ones too. So symbols are coded in groups of dimensions, and the class of scale of a
group is shifted by what the groups before it were, against what their classes promised. All in integers, and within one
token: the cost of a token depends on no other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.tables import CLASSES, GROUP_STARTS, RATIOS, TRUSTS, UNIT, Tables
from panolink.jit import kernel

MOST = 15
"""a magnitude counts for no more, so that one outlier does not rule the rest"""


RATIO_BOUNDS = np.rint(np.exp2((np.arange(RATIOS - 1) - (RATIOS - 2) / 2) / 3) * (1 << 12)).astype(np.int64)
"""between thirds of an octave of found ÷ promised, in 1/4096"""


TRUST_BOUNDS = np.array([UNIT, 4 * UNIT])
"""promised sums between which a ratio says more and more"""


OFFSET = 7 * UNIT // 10
"""added to both sums: where nothing was promised yet, nothing was found wanting"""


def group_slices(dim: int) -> list[slice]:
    """The groups of dimensions of a feature, in order."""
    starts = [start for start in GROUP_STARTS if start < dim]
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], dim], strict=True)]


class Liveliness:
    """What is known of n tokens from the groups coded so far. Call ``classes`` and then ``learn``, group by group."""

    def __init__(self, tables: Tables, tokens: int) -> None:
        self._shifts, self._promises = tables.shifts.astype(np.int64), tables.promises.astype(np.int64)
        self._sums = np.zeros((tokens, 2), dtype=np.int64)

    def contexts(self) -> NDArray[np.int64]:
        """(n,): column of ``Tables.shifts`` of each token."""
        return _contexts(self._sums)

    def classes(self, group: int, plain: NDArray[np.int64]) -> NDArray[np.int64]:
        """Classes of scale (n, width) of a group from those of the codes; class 0 stays, it is never coded."""
        return _classes(self._sums, self._shifts[group], plain)

    def learn(self, plain: NDArray[np.int64], symbols: NDArray[np.int32]) -> None:
        """Take in a group's symbols (n, width) and the classes that its codes promised."""
        _learn(self._sums, self._promises, plain, symbols)


def lively_classes(tables: Tables, plain: NDArray[np.int64], symbols: NDArray[np.int32]) -> NDArray[np.int64]:
    """Classes of scale (n, dim) with which known symbols (n, dim) are coded, whose codes promise ``plain`` (n, dim)."""
    liveliness, classes = Liveliness(tables, len(plain)), np.empty_like(plain)
    for group, dims in enumerate(group_slices(plain.shape[1])):
        classes[:, dims] = liveliness.classes(group, plain[:, dims])
        liveliness.learn(plain[:, dims], symbols[:, dims])
    return classes


@kernel
def _context(found: int, promised: int) -> int:
    ratio = ((found + OFFSET) << 12) // (promised + OFFSET)
    context = 0
    for bound in RATIO_BOUNDS:
        context += ratio >= bound
    context *= TRUSTS
    for bound in TRUST_BOUNDS:
        context += promised >= bound
    return context


@kernel
def _shifted(plain: int, shift: int) -> int:
    return min(max(plain + shift, 1), CLASSES - 1) if plain > 0 else 0


@kernel
def _contexts(sums):
    contexts = np.empty(len(sums), np.int64)
    for token in range(len(sums)):
        contexts[token] = _context(sums[token, 0], sums[token, 1])
    return contexts


@kernel
def _classes(sums, shifts, plain):
    classes = np.empty(plain.shape, np.int64)
    for token in range(len(plain)):
        shift = shifts[_context(sums[token, 0], sums[token, 1])]
        for dim in range(plain.shape[1]):
            classes[token, dim] = _shifted(plain[token, dim], shift)
    return classes


@kernel
def _learn(sums, promises, plain, symbols):
    for token in range(len(plain)):
        found, promised = 0, 0
        for dim in range(plain.shape[1]):
            found += min(abs(symbols[token, dim]), MOST)
            promised += promises[plain[token, dim]]
        sums[token, 0] = (5 * sums[token, 0] >> 3) + UNIT * found
        sums[token, 1] = (5 * sums[token, 1] >> 3) + promised
