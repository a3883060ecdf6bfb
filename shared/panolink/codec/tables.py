"""The integer tables of a model: what both ends must share, besides the codebook, to read each other's bits.

Nothing here is computed by a network when decoding: classes of scale follow from table look-ups and integer sums, so
hosts of different makes cannot disagree about a bitstream.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

CLASSES = 33
"""classes of scale, a quarter octave apart: class c has Laplace scale 2^((c − 16)/4) steps; class 0 is never coded"""

LARGEST = 47
"""symbols −47…47 have a frequency each, larger ones follow an escape"""

TOTAL = 1 << 16
"""sum of each frequency table: dyadic probabilities, exact in float32"""

LEVEL_ZERO = 64
"""the level (quarter octaves) of a Laplace scale of one feature unit"""

GROUP_STARTS = (0, 2, 4, 8, 12, 16, 24, 36)
"""first dimensions of the groups in which a token's symbols are coded"""

RATIOS, TRUSTS = 13, 3
"""levels of how a token's symbols so far compare with what their classes promised, and of how much that says"""

LIVELINESS = RATIOS * TRUSTS
"""contexts of a group of dimensions"""

UNIT = 16
"""of promised magnitudes: they are counted in sixteenths"""

NO_CONTEXT = 0
"""context of an index of which no neighbour is known yet"""


@dataclass(frozen=True)
class Tables:
    """Integer tables stored with the codebook of K codes and d dimensions."""

    levels: NDArray[np.uint8]
    """(K, d): scale of each difference in quarter octaves above 2^(−LEVEL_ZERO/4)"""
    symbol_frequencies: NDArray[np.int32]
    """(CLASSES, 2·LARGEST + 2): of symbols −LARGEST…LARGEST and the escape, each row summing to TOTAL"""
    clusters: NDArray[np.uint8]
    """(K,): coarse cluster of each code"""
    pair_contexts: NDArray[np.uint8]
    """(clusters, clusters): context of an index between two known neighbours, symmetric, never NO_CONTEXT"""
    index_frequencies: NDArray[np.int32]
    """(contexts, K): of the indices, each row summing to TOTAL; row NO_CONTEXT is the marginal law"""
    promises: NDArray[np.int32]
    """(CLASSES,): mean magnitude of a class's symbols in 1/UNIT; 0 for class 0"""
    shifts: NDArray[np.int8]
    """(groups, LIVELINESS): quarter octaves by which a group of dimensions is livelier than its level says, given how
    the token's earlier groups kept what their classes promised (`panolink.codec.liveliness`)"""

    def __post_init__(self) -> None:
        for table in (self.symbol_frequencies, self.index_frequencies):
            if not (table.sum(axis=1) == TOTAL).all() or table.min() < 1:
                raise ValueError(f"frequency tables must be positive and sum to {TOTAL} in each row")
        if self.shifts.shape != (len(GROUP_STARTS), LIVELINESS) or self.promises.shape != (CLASSES,):
            raise ValueError(f"shifts must be ({len(GROUP_STARTS)}, {LIVELINESS}) and promises ({CLASSES},)")

    @property
    def codes(self) -> int:
        return self.levels.shape[0]

    def classes(self, indices: NDArray[np.integer], steps: NDArray[np.integer]) -> NDArray[np.int64]:
        """Class of scale of each difference: indices (n,), steps (n,) quarter octaves → (n, d) in [0, CLASSES)."""
        shift = LEVEL_ZERO - 16 + np.asarray(steps, dtype=np.int64)
        return np.clip(self.levels[indices].astype(np.int64) - shift[:, None], 0, CLASSES - 1)

    def code_lengths(self) -> NDArray[np.float32]:
        """(CLASSES, LARGEST + 2): ideal bits by magnitude, sign included; the last is of an escape and 16 raw bits."""
        bits = -np.log2(self.symbol_frequencies / TOTAL)
        positive = np.concatenate([bits[:, LARGEST : 2 * LARGEST + 1], bits[:, -1:] + 16], axis=1)
        positive[0] = 0
        return positive.astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def to_frequencies(counts: np.ndarray, total: int = TOTAL) -> NDArray[np.int32]:
    """Positive integers proportional to ``counts`` (rows, n); rows sum to ``total``, their largest takes the rest."""
    counts = np.asarray(counts, dtype=np.float64)
    rows, symbols = counts.shape
    share = counts / counts.sum(axis=1, keepdims=True)
    frequencies = np.maximum(1, np.floor(share * (total - symbols))).astype(np.int64)
    frequencies[np.arange(rows), share.argmax(axis=1)] += total - frequencies.sum(axis=1)
    return frequencies.astype(np.int32)
