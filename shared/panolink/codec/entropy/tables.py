"""The integer tables of a model: what both ends must share, besides the codebook, to read each other's bits.

What leads from tables to symbols is exact: classes of scale follow from look-ups and integer sums, laws of indices from
networks of integers, so that hosts of different makes cannot disagree about a bitstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.feature_context import Expected, Surroundings
from panolink.codec.entropy.index_context import TOTAL, IndexContexts

CLASSES = 33
"""classes of scale, a quarter octave apart: class c has Laplace scale 2^((c − 16)/4) steps; class 0 is never coded"""

LARGEST = 47
"""magnitudes of 0…47 have a frequency each, larger ones follow an escape"""

LEVEL_ZERO = 64
"""the level (quarter octaves) of a Laplace scale of one feature unit"""

GROUP_STARTS = (0, 2, 4, 8, 12, 16, 24, 36)
"""first dimensions of the groups in which a token's symbols are coded"""

RATIOS, TRUSTS = 13, 3
"""levels of how a token's symbols so far compare with what their classes promised, and of how much that says"""

LIVELINESS = RATIOS * TRUSTS
"""contexts of a group of dimensions"""

CODER_LOSS = 1.5e-4
"""bits that the range coder takes for a symbol beyond its code length, found by experiment"""

UNIT = 16
"""of promised magnitudes: they are counted in sixteenths"""


@dataclass(frozen=True)
class Tables:
    """Integer tables stored with the codebook of K codes and d dimensions."""

    levels: NDArray[np.uint8]
    """(K, d): scale of each difference in quarter octaves above 2^(−LEVEL_ZERO/4)"""
    symbol_frequencies: NDArray[np.int32]
    """(CLASSES, LARGEST + 2): of the symbols' magnitudes 0…LARGEST and the escape, each row summing to TOTAL"""
    code_frequencies: NDArray[np.int32]
    """(K,): of the codes, summing to TOTAL; training that goes on starts from them"""
    promises: NDArray[np.int32]
    """(CLASSES,): mean magnitude of a class's symbols in 1/UNIT; 0 for class 0"""
    shifts: NDArray[np.int8]
    """(groups, LIVELINESS): quarter octaves by which a group of dimensions is livelier than its level says, given how
    the token's earlier groups kept what their classes promised (`panolink.codec.entropy.scale_adaptation`)"""
    contexts: IndexContexts
    """the law of an index given its neighbours"""
    surroundings: Surroundings
    """what is expected of differences, given the tokens around"""

    def __post_init__(self) -> None:
        for table in (self.symbol_frequencies, self.code_frequencies[None]):
            if not (table.sum(axis=1) == TOTAL).all() or table.min() < 1:
                raise ValueError(f"frequency tables must be positive and sum to {TOTAL} in each row")
        if self.symbol_frequencies.shape != (CLASSES, LARGEST + 2):
            raise ValueError(f"symbol_frequencies must be ({CLASSES}, {LARGEST + 2})")
        if not self.contexts.codes == len(self.surroundings.embedding) - 1 == self.codes:
            raise ValueError(f"index contexts or surroundings are not of {self.codes} codes")
        if self.surroundings.dim != self.levels.shape[1]:
            raise ValueError(f"surroundings of {self.surroundings.dim} dimensions; there are {self.levels.shape[1]}")
        if self.shifts.shape != (len(GROUP_STARTS), LIVELINESS) or self.promises.shape != (CLASSES,):
            raise ValueError(f"shifts must be ({len(GROUP_STARTS)}, {LIVELINESS}) and promises ({CLASSES},)")

    @property
    def codes(self) -> int:
        return self.levels.shape[0]

    def classes(
        self, indices: NDArray[np.integer], steps: NDArray[np.integer], expected: Expected | None = None
    ) -> NDArray[np.int64]:
        """Class of scale of each difference: indices (n,), steps (n,) quarter octaves → (n, d) in [0, CLASSES).

        A difference whose code promises class 0 is never sent, whatever its surroundings let expect.
        """
        shift = LEVEL_ZERO - 16 + np.asarray(steps, dtype=np.int64)
        plain = np.clip(self.levels[indices].astype(np.int64) - shift[:, None], 0, CLASSES - 1)
        if expected is None:
            return plain
        return np.where(plain > 0, np.clip(plain + expected.shifts, 1, CLASSES - 1), 0)

    def code_lengths(self) -> NDArray[np.float32]:
        """(CLASSES, LARGEST + 2): ideal bits by magnitude, one of them for the sign; the last is of an escape."""
        bits = -np.log2(self.symbol_frequencies / TOTAL)
        bits += CODER_LOSS
        bits[:, 1:] += 1 + CODER_LOSS
        bits[:, -1] += 16
        bits[0] = 0
        return bits.astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name, those of parts as ``part.name``."""
        return _flattened(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Tables:
        """What ``to_arrays`` gave; KeyError where one is missing, ValueError where they do not fit together."""
        return _restored(cls, arrays)


def _flattened(part: Any, prefix: str = "") -> dict[str, np.ndarray]:
    arrays = {}
    for field in fields(part):
        value = getattr(part, field.name)
        arrays |= _flattened(value, f"{prefix}{field.name}.") if is_dataclass(value) else {prefix + field.name: value}
    return arrays


def _restored(kind: Any, arrays: Mapping[str, np.ndarray], prefix: str = "") -> Any:
    values = {}
    for name, hint in get_type_hints(kind).items():
        values[name] = _restored(hint, arrays, f"{prefix}{name}.") if is_dataclass(hint) else arrays[prefix + name]
    return kind(**values)


def to_frequencies(counts: np.ndarray, total: int = TOTAL) -> NDArray[np.int32]:
    """Positive integers proportional to ``counts`` (rows, n); rows sum to ``total``, their largest takes the rest."""
    counts = np.asarray(counts, dtype=np.float64)
    rows, symbols = counts.shape
    share = counts / counts.sum(axis=1, keepdims=True)
    frequencies = np.maximum(1, np.floor(share * (total - symbols))).astype(np.int64)
    frequencies[np.arange(rows), share.argmax(axis=1)] += total - frequencies.sum(axis=1)
    return frequencies.astype(np.int32)
