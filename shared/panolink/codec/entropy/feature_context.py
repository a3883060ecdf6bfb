"""Feature context model: scales and signs of a token's differences, conditioned on the tokens around it.

All indices are decoded before any difference. In a whole grid the differences are coded in the two halves of a
checkerboard (as in He et al. 2021): for the second half, those of four neighbours are known as well. A small integer
network (`panolink.codec.entropy.integer_network`) computes a shift of each scale and the log odds of each sign.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.index_context import BANDS, bands_of, neighbours_of
from panolink.codec.entropy.integer_network import (
    ACTIVATION_BITS,
    MAX_INPUT,
    WEIGHT_BITS,
    IntegerNetwork,
    look_up_sum,
)
from panolink.cpu import parallel, row_chunks
from panolink.jit import kernel

DIFFERENCE_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""offsets (rows down, columns right) of the neighbours whose differences may be known"""

CODE_NEIGHBOURS = ((0, 0), *DIFFERENCE_NEIGHBOURS, (-1, -1), (-1, 1), (1, -1), (1, 1))
"""offsets whose codes are known: the token itself and its eight neighbours"""

ROW_NEIGHBOURS = ((0, 0), (0, -1), (0, 1))
"""offsets whose codes are known in a row that has to decode alone"""

MAX_SCALE_SHIFT = 24
"""quarter octaves"""

LOG_ODDS_STEPS, MAX_LOG_ODDS = 4, 15
"""log odds of a positive sign are integers of so many steps to a factor of e, at most so large"""

CHUNK = 8192
"""tokens whose inputs and outputs are held at a time: some 30 MiB"""

FRACTION_BITS = 12
"""of the fixed-point powers of two that scale a difference to an input"""

QUARTER_OCTAVES = np.array([round((1 << FRACTION_BITS) * 2 ** (k / 4)) for k in range(4)], dtype=np.int64)

OUTPUT_SHIFT = WEIGHT_BITS + ACTIVATION_BITS - 2
"""right shift from the network's outputs to quarters: of an octave, of a factor of e"""


@dataclass(frozen=True)
class EntropyParameters:
    """What the feature context model predicts of n tokens' differences, int8 (n, dim) both."""

    shifts: NDArray[np.int8]
    """quarter octaves by which a scale is larger than the code's own"""
    log_odds: NDArray[np.int8]
    """of a positive sign, in 1/LOG_ODDS_STEPS"""

    def of(self, part: slice | NDArray) -> EntropyParameters:
        """Those of some of the tokens."""
        return EntropyParameters(self.shifts[part], self.log_odds[part])


@dataclass(frozen=True)
class FeatureContextModel:
    """The network for K codes of dim dimensions; of neighbours' differences it sees the first V dimensions.

    Raises
    ------
    ValueError
        Where the arrays do not fit together.
    """

    embedding: NDArray[np.int8]
    """(K + 1, E): of each code; the last is of a neighbour that is absent or unknown"""
    bands: NDArray[np.int16]
    """(BANDS, H): what latitude adds to the first layer"""
    units: NDArray[np.int8]
    """(V,): quarter octaves of the model's unit; a neighbour's difference is an input in units of this size"""
    network: IntegerNetwork
    """inputs: embeddings of CODE_NEIGHBOURS, then differences of DIFFERENCE_NEIGHBOURS; outputs: shifts, then log odds,
    dim each"""

    def __post_init__(self) -> None:
        inputs, hidden = self.network.first.shape
        wanted = len(CODE_NEIGHBOURS) * self.embedding.shape[1] + len(DIFFERENCE_NEIGHBOURS) * len(self.units)
        if inputs != wanted or self.bands.shape != (BANDS, hidden):
            raise ValueError("embeddings, units, bands and layers of the feature context model do not fit together")
        if len(self.units) > self.dim:
            raise ValueError(f"{len(self.units)} units for features of {self.dim} dimensions")

    @property
    def dim(self) -> int:
        """Dimensions of a feature."""
        return self.network.last.shape[1] // 2

    def __call__(
        self,
        indices: NDArray[np.int64],
        cells: NDArray[np.int64],
        *,
        whole: bool,
        differences: NDArray[np.int8] | None = None,
    ) -> EntropyParameters:
        """Predict scales and signs of tokens.

        Parameters
        ----------
        indices : (rows, cols)
            Of all tokens.
        cells : (n,)
            Flat positions of the tokens in the grid.
        whole : bool
            Whether the rows above and below are known.
        differences : int8 (rows, cols, V), optional
            Decoded differences as `as_inputs` gives them, 0 where there are none.
        """
        shifts, log_odds = (np.empty((len(cells), self.dim), dtype=np.int8) for _ in range(2))
        bands, seen = bands_of(len(indices)), len(CODE_NEIGHBOURS) * self.embedding.shape[1]
        for start in range(0, len(cells), CHUNK):
            part = slice(start, min(start + CHUNK, len(cells)))
            some = cells[part]
            codes = neighbour_codes(indices, some, len(self.embedding) - 1, whole=whole)
            total = look_up_sum(self.look_up, codes, self.bands, bands[some // indices.shape[1]])
            if differences is not None:
                total += self.network.first_product(neighbour_values(differences, some), slice(seen, None))
            self._predict(total, shifts[part], log_odds[part])
        return EntropyParameters(shifts, log_odds)

    def of_codes(self, codes: NDArray[np.integer], bands: NDArray[np.int64]) -> EntropyParameters:
        """Predict from codes alone.

        Parameters
        ----------
        codes : (n, len(CODE_NEIGHBOURS))
            At CODE_NEIGHBOURS of the tokens, K where there is none.
        bands : (n,)
            Of latitude, see `panolink.codec.entropy.index_context.bands_of`.
        """
        shifts, log_odds = (np.empty((len(codes), self.dim), dtype=np.int8) for _ in range(2))
        for start in range(0, len(codes), CHUNK):
            part = slice(start, start + CHUNK)
            total = look_up_sum(self.look_up, codes[part], self.bands, bands[part])
            self._predict(total, shifts[part], log_odds[part])
        return EntropyParameters(shifts, log_odds)

    def _predict(self, total: NDArray[np.int32], shifts: NDArray[np.int8], log_odds: NDArray[np.int8]) -> None:
        """What follows from the first layer's sums (n, H)."""
        outputs = self.network.after_first(total)
        parallel(lambda rows: _in_quarters(outputs[rows], shifts[rows], log_odds[rows]), row_chunks(len(outputs), 256))

    @functools.cached_property
    def look_up(self) -> NDArray[np.integer]:
        """What each code adds to the first layer's sums at each of CODE_NEIGHBOURS, (9, K + 1, H)."""
        return self.network.look_up_table(self.embedding, len(CODE_NEIGHBOURS))

    def as_inputs(self, symbols: NDArray[np.signedinteger], steps: NDArray[np.int64]) -> NDArray[np.int8]:
        """Scale decoded symbols to inputs, by integer shifts and sums alone.

        Parameters
        ----------
        symbols : (n, dim)
        steps : (n,)
            Quantisation step of each token, quarter octaves.

        Returns
        -------
        int8 (n, V)
        """
        inputs = np.empty((len(symbols), len(self.units)), dtype=np.int8)
        _as_inputs(np.ascontiguousarray(symbols), np.ascontiguousarray(steps), self.units, inputs)
        return inputs


@kernel
def _as_inputs(symbols, steps, units, inputs):
    for token in range(len(symbols)):
        own, step, found = symbols[token], steps[token], inputs[token]
        for place in range(len(units)):
            exponent = step - units[place]
            shift = min(max(FRACTION_BITS - (exponent >> 2), 0), 62)
            value = np.int64(own[place]) * QUARTER_OCTAVES[exponent & 3]
            value = (value + (np.int64(1) << shift >> 1)) >> shift
            found[place] = min(max(value, -MAX_INPUT), MAX_INPUT)


@kernel
def _in_quarters(outputs, shifts, log_odds):
    """Outputs of the network (n, 2 · dim) as shifts and log odds, (n, dim) each."""
    dim = shifts.shape[1]
    for token in range(len(outputs)):
        for place in range(dim):
            shift = (outputs[token, place] + (1 << OUTPUT_SHIFT >> 1)) >> OUTPUT_SHIFT
            odds = (outputs[token, dim + place] + (1 << OUTPUT_SHIFT >> 1)) >> OUTPUT_SHIFT
            shifts[token, place] = min(max(shift, -MAX_SCALE_SHIFT), MAX_SCALE_SHIFT)
            log_odds[token, place] = min(max(odds, -MAX_LOG_ODDS), MAX_LOG_ODDS)


def neighbour_codes(
    indices: NDArray[np.int64], cells: NDArray[np.int64], outside: int, *, whole: bool
) -> NDArray[np.int32]:
    """Codes at CODE_NEIGHBOURS of each of the ``cells``.

    Parameters
    ----------
    indices : (rows, cols)
    cells : (n,)
        Flat positions.
    outside : int
        Stands for a neighbour beyond a pole, or unknown.
    whole : bool
        Whether the rows above and below are known.

    Returns
    -------
    int32 (n, len(CODE_NEIGHBOURS))
    """
    codes = np.append(indices, outside).astype(np.int32)[neighbours_of(cells, indices.shape, CODE_NEIGHBOURS)]
    if not whole:
        codes[:, [offset not in ROW_NEIGHBOURS for offset in CODE_NEIGHBOURS]] = outside
    return codes


def neighbour_values(differences: NDArray[np.int8], cells: NDArray[np.int64]) -> NDArray[np.int8]:
    """Differences (rows, cols, V) at DIFFERENCE_NEIGHBOURS of ``cells`` (n,): int8 (n, 4 · V), 0 beyond the poles."""
    rows, cols, count = differences.shape
    places = neighbours_of(cells, (rows, cols), DIFFERENCE_NEIGHBOURS)
    values = differences.reshape(rows * cols, count)[np.minimum(places, rows * cols - 1)]
    values[places == rows * cols] = 0
    return values.reshape(len(cells), len(DIFFERENCE_NEIGHBOURS) * count)


def first_half(rows: int, cols: int) -> NDArray[np.bool_]:
    """The squares of a checkerboard that are coded first, flat (rows · cols,)."""
    return (np.add.outer(np.arange(rows), np.arange(cols)) % 2 == 0).ravel()


def sign_frequencies() -> NDArray[np.int32]:
    """Frequencies of the less and of the more likely sign by log odds: (MAX_LOG_ODDS + 1, 2), rows sum to 256."""
    likely = [min(255, round(256 / (1 + 2.718281828459045 ** (-k / LOG_ODDS_STEPS)))) for k in range(MAX_LOG_ODDS + 1)]
    return np.array([[256 - one, one] for one in likely], dtype=np.int32)


def _sign_bits() -> NDArray[np.float32]:
    bits = -np.log2(sign_frequencies() / 256)
    return np.concatenate([bits[:0:-1, 0], bits[:, 1]]).astype(np.float32)


SIGN_BITS = _sign_bits()
"""(2 · MAX_LOG_ODDS + 1,): bits of a positive sign by its log odds from −MAX_LOG_ODDS up; for a negative
one, by the negated log odds"""
