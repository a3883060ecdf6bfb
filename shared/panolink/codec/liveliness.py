"""Learning a token's liveliness while it is coded: each group of its dimensions corrects the scales of the next.

A code's table knows how large the differences from that code are on average. A token that differs more in its first
dimensions does so in its later ones too. So symbols are coded in groups of dimensions, and the class of scale of a
group is shifted by what the groups before it were, against what their classes promised. All in integers, and within one
token: the cost of a token depends on no other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.expectation import LARGEST_ODDS, sign_frequencies
from panolink.codec.tables import CLASSES, GROUP_STARTS, LARGEST, RATIOS, TRUSTS, UNIT, Tables
from panolink.jit import kernel

MOST = 15
"""a magnitude counts for no more, so that one outlier does not rule the rest"""

RATIO_BOUNDS = np.rint(np.exp2((np.arange(RATIOS - 1) - (RATIOS - 2) / 2) / 3) * (1 << 12)).astype(np.int64)
"""between thirds of an octave of found ÷ promised, in 1/4096"""

TRUST_BOUNDS = np.array([UNIT, 4 * UNIT])
"""promised sums between which a ratio says more and more"""

OFFSET = 7 * UNIT // 10
"""added to both sums: where nothing was promised yet, nothing was found wanting"""


def _sign_bits() -> NDArray[np.float32]:
    bits = -np.log2(sign_frequencies() / 256)
    return np.concatenate([bits[:0:-1, 0], bits[:, 1]]).astype(np.float32)


SIGN_BITS = _sign_bits()
"""(2 · LARGEST_ODDS + 1,): bits of a plus by its log odds from −LARGEST_ODDS, of a minus by those of a plus, negated"""


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


def choose_symbols(
    value: NDArray[np.float32],
    plain: NDArray[np.int64],
    odds: NDArray[np.int16],
    tables: Tables,
    lengths: NDArray[np.float32],
    price: float,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """The symbols that cost least in squared error + price · bits, group by group.

    ``value`` (n, dim): differences in steps; ``plain`` (n, dim): classes that are expected; ``odds`` (n, dim): of their
    signs; ``lengths`` as in ``Tables.code_lengths``. Candidates are the nearest integer, the one below it, and zero;
    class 0 is always zero. Returns symbols (n, dim), and of each token its bits (n,) and the drop of squared error in
    squared steps (n,).
    """
    starts = np.array([part.start for part in group_slices(plain.shape[1])] + [plain.shape[1]])
    shifts, promises = tables.shifts.astype(np.int64), tables.promises.astype(np.int64)
    odds = np.ascontiguousarray(odds)  # one kernel, whatever part of a picture it is
    return _choose(value, plain, odds, starts, shifts, promises, lengths, SIGN_BITS, np.float32(price))


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


@kernel
def _choose(value, plain, odds, starts, shifts, promises, lengths, sign_bits, price):
    tokens, dims = value.shape
    symbols = np.zeros((tokens, dims), np.int32)
    bits = np.zeros(tokens, np.float32)
    gain = np.zeros(tokens, np.float32)
    for token in range(tokens):
        found, promised = 0, 0
        for group in range(len(starts) - 1):
            shift = shifts[group, _context(found, promised)]
            found_here, promised_here = 0, 0
            for dim in range(starts[group], starts[group + 1]):
                scale = _shifted(plain[token, dim], shift)
                if scale == 0:
                    continue
                magnitude = abs(value[token, dim])
                agreement = odds[token, dim] if value[token, dim] > 0 else -odds[token, dim]
                sign = sign_bits[agreement + LARGEST_ODDS] - np.float32(1)
                best, best_bits = 0, lengths[scale, 0]
                best_cost = magnitude * magnitude + price * best_bits
                nearest = int(min(magnitude + np.float32(0.5), np.float32((1 << 15) - 1)))
                for candidate in range(max(nearest - 1, 1), nearest + 1):
                    cost_bits = lengths[scale, min(candidate, LARGEST + 1)] + sign
                    error = magnitude - candidate
                    cost = error * error + price * cost_bits
                    if cost < best_cost:
                        best, best_bits, best_cost = candidate, cost_bits, cost
                symbols[token, dim] = best if value[token, dim] > 0 else -best
                bits[token] += best_bits
                gain[token] += best * (2 * magnitude - best)
                found_here += min(best, MOST)
                promised_here += promises[plain[token, dim]]
            found = (5 * found >> 3) + UNIT * found_here
            promised = (5 * promised >> 3) + promised_here
    return symbols, bits, gain
