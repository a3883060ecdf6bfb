"""The integer tables of a model: what both ends must share, besides the codebook, to decode each other's bits.

What leads from tables to symbols is exact: scale classes follow from look-ups and integer sums, probabilities of
indices from integer networks, so that hosts of different makes agree about every bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.feature_context import EntropyParameters, FeatureContextModel
from panolink.codec.entropy.index_context import TOTAL, IndexContextModel
from panolink.jit import kernel

CLASSES = 33
"""scale classes, a quarter octave apart: class c has Laplace scale 2^((c − 16)/4) steps; class 0 is never coded"""

MAX_MAGNITUDE = 47
"""magnitudes of 0…47 have a frequency each, larger ones follow an escape"""

LEVEL_ZERO = 64
"""the level (quarter octaves) of a Laplace scale of one feature unit"""

GROUP_STARTS = (0, 2, 4, 8, 12, 16, 24, 36, 52, 72, 100, 140)
"""first dimensions of the groups in which a token's symbols are coded; a model may have fewer, the first ones"""

RATIO_LEVELS, CONFIDENCE_LEVELS = 13, 3
"""quantised ratio of a token's observed to its expected magnitudes, and of how much evidence the ratio rests on"""

ADAPTATION_CONTEXTS = RATIO_LEVELS * CONFIDENCE_LEVELS
"""contexts of the scale adaptation of a group of dimensions"""

CODER_LOSS = 1.5e-4
"""bits that the range coder takes for a symbol beyond its code length, found by experiment"""

UNIT = 16
"""fixed point of expected magnitudes: they are counted in sixteenths"""

_STORED_NAMES = {"expected_magnitude": "promises", "index_context": "contexts", "feature_context": "surroundings"}
"""names in weights files of format 3, where they differ from the fields'; the fingerprint covers them"""


@dataclass(frozen=True)
class Tables:
    """Integer tables stored with the codebook of K codes and d dimensions.

    Raises
    ------
    ValueError
        Where frequencies do not sum to `TOTAL`, or parts do not fit together.
    """

    levels: NDArray[np.uint8]
    """(K, d): Laplace scale of each difference, in quarter octaves above 2^(−LEVEL_ZERO/4) feature units"""
    symbol_frequencies: NDArray[np.int32]
    """(CLASSES, MAX_MAGNITUDE + 2): of magnitudes 0…MAX_MAGNITUDE and the escape; each row sums to TOTAL"""
    code_frequencies: NDArray[np.int32]
    """(K,): of the codes, summing to TOTAL; a warm start of training reads them, the bitstream does not"""
    expected_magnitude: NDArray[np.int32]
    """(CLASSES,): mean magnitude of a class's symbols in 1/UNIT; 0 for class 0"""
    shifts: NDArray[np.int8]
    """(groups, ADAPTATION_CONTEXTS): correction of a group's scales in quarter octaves, given how the magnitudes of the
    token's earlier groups compare with those expected (`panolink.codec.entropy.scale_adaptation`)"""
    index_context: IndexContextModel
    """probabilities of an index given its neighbours"""
    feature_context: FeatureContextModel
    """scales and signs of differences given the neighbouring tokens"""

    def __post_init__(self) -> None:
        for table in (self.symbol_frequencies, self.code_frequencies[None]):
            if not (table.sum(axis=1) == TOTAL).all() or table.min() < 1:
                raise ValueError(f"frequency tables must be positive and sum to {TOTAL} in each row")
        if self.symbol_frequencies.shape != (CLASSES, MAX_MAGNITUDE + 2):
            raise ValueError(f"symbol_frequencies must be ({CLASSES}, {MAX_MAGNITUDE + 2})")
        if not self.index_context.codes == len(self.feature_context.embedding) - 1 == self.codes:
            raise ValueError(f"index or feature context model is not of {self.codes} codes")
        if self.feature_context.dim != self.levels.shape[1]:
            raise ValueError(
                f"feature context of {self.feature_context.dim} dimensions; there are {self.levels.shape[1]}"
            )
        groups, *contexts = self.shifts.shape
        if not 1 <= groups <= len(GROUP_STARTS) or contexts != [ADAPTATION_CONTEXTS]:
            raise ValueError(
                f"shifts must be (1 … {len(GROUP_STARTS)}, {ADAPTATION_CONTEXTS}), not {self.shifts.shape}"
            )
        if self.expected_magnitude.shape != (CLASSES,):
            raise ValueError(f"expected_magnitude must be ({CLASSES},), not {self.expected_magnitude.shape}")

    @property
    def codes(self) -> int:
        """K, the number of codebook vectors."""
        return self.levels.shape[0]

    @property
    def groups(self) -> list[slice]:
        """Dimensions of each group in which a token's symbols are coded, in coding order."""
        dim = self.levels.shape[1]
        starts = [start for start in GROUP_STARTS[: len(self.shifts)] if start < dim]
        return [slice(a, b) for a, b in zip(starts, [*starts[1:], dim], strict=True)]

    @property
    def group_bounds(self) -> NDArray[np.int64]:
        """The first dimension of each of the `groups`, and the end of the last: int64 (groups + 1,)."""
        return np.array([dims.start for dims in self.groups] + [self.levels.shape[1]])

    def classes(
        self, indices: NDArray[np.integer], steps: NDArray[np.integer], context: EntropyParameters | None = None
    ) -> NDArray[np.uint8]:
        """Scale class of each difference.

        Parameters
        ----------
        indices : (n,) in [0, K)
        steps : (n,)
            Quantisation steps in quarter octaves.
        context : EntropyParameters, optional
            Corrections by the feature context model. A difference whose code has class 0 stays there: it is never sent.

        Returns
        -------
        uint8 (n, d) in [0, CLASSES)
        """
        indices, steps = (np.ascontiguousarray(values, dtype=np.int64) for values in (indices, steps))
        classes = np.empty((len(indices), self.levels.shape[1]), dtype=np.uint8)
        shifts = np.zeros(classes.shape, dtype=np.int8) if context is None else context.shifts
        _classes(self.levels, indices, steps, shifts, classes)
        return classes

    def code_lengths(self) -> NDArray[np.float32]:
        """Ideal code lengths in bits, the coder's own loss included.

        Returns
        -------
        (CLASSES, MAX_MAGNITUDE + 2)
            By magnitude, one bit for the sign in all but magnitude 0; the last column is an escape with its raw bits.
        """
        bits = -np.log2(self.symbol_frequencies / TOTAL)
        bits += CODER_LOSS
        bits[:, 1:] += 1 + CODER_LOSS
        bits[:, -1] += 16
        bits[0] = 0
        return bits.astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays by the names that weights files give them, those of parts as ``part.name``."""
        return _flattened(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Tables:
        """Inverse of `to_arrays`.

        Raises
        ------
        KeyError
            Where an array is missing.
        ValueError
            Where arrays are of another type, or do not fit together.
        """
        return _restored(cls, arrays)


@kernel
def expected_class(level, step, shift):
    """Scale class of a difference whose code has a ``level``, at a step in quarter octaves, with the feature context
    model's ``shift``. Class 0 stays: it is never sent."""
    plain = min(level - (LEVEL_ZERO - 16 + step), CLASSES - 1)
    return min(max(plain + shift, 1), CLASSES - 1) if plain > 0 else 0


@kernel
def _classes(levels, indices, steps, shifts, classes):
    for token in range(len(indices)):
        level, step, toward, found = levels[indices[token]], steps[token], shifts[token], classes[token]
        for dim in range(len(level)):  # rows by themselves, without branches: vectors
            found[dim] = expected_class(level[dim], step, toward[dim])


def _flattened(part: Any, prefix: str = "") -> dict[str, np.ndarray]:
    arrays = {}
    for field in fields(part):
        value, name = getattr(part, field.name), prefix + _STORED_NAMES.get(field.name, field.name)
        arrays |= _flattened(value, f"{name}.") if is_dataclass(value) else {name: value}
    return arrays


def _restored(kind: Any, arrays: Mapping[str, np.ndarray], prefix: str = "") -> Any:
    values = {}
    for field, hint in get_type_hints(kind).items():
        name = prefix + _STORED_NAMES.get(field, field)
        values[field] = (
            _restored(hint, arrays, f"{name}.") if is_dataclass(hint) else _of_type(arrays[name], hint, name)
        )
    return kind(**values)


def _of_type(array: np.ndarray, hint: Any, name: str) -> np.ndarray:
    """The array, which is of the type that its field is declared with: products are exact for that one alone."""
    wanted = np.dtype(get_args(get_args(hint)[1])[0])
    if array.dtype != wanted:
        raise ValueError(f"{name} is of {array.dtype}; it must be of {wanted}")
    return array


def to_frequencies(counts: np.ndarray, total: int = TOTAL) -> NDArray[np.int32]:
    """Frequency tables of counts.

    Parameters
    ----------
    counts : (rows, n)
        Non-negative.
    total : int
        What each row is to sum to, larger than n.

    Returns
    -------
    int32 (rows, n)
        Positive; the largest of each row takes what rounding leaves.
    """
    counts = np.asarray(counts, dtype=np.float64)
    rows, symbols = counts.shape
    share = counts / counts.sum(axis=1, keepdims=True)
    frequencies = np.maximum(1, np.floor(share * (total - symbols))).astype(np.int64)
    frequencies[np.arange(rows), share.argmax(axis=1)] += total - frequencies.sum(axis=1)
    return frequencies.astype(np.int32)
