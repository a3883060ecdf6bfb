"""What is expected of a token's differences from its code, given the tokens around it: their scales and their signs.

All indices are known before any difference. In a whole grid the differences are coded in two halves, like the squares
of a checkerboard: for the second, those of four neighbours are known as well. A small network of integers
(`panolink.codec.entropy.integer_network`) makes of all this a shift of each scale and the odds of each sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.index_context import BANDS, bands_of, neighbours_of
from panolink.codec.entropy.integer_network import ACTIVATION_BITS, LARGEST_INPUT, WEIGHT_BITS, IntegerNetwork

SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""neighbours (rows down, columns) whose differences may be known"""

AROUND = ((0, 0), *SIDES, (-1, -1), (-1, 1), (1, -1), (1, 1))
"""the token itself, and neighbours whose codes are known"""

IN_THE_ROW = ((0, 0), (0, -1), (0, 1))
"""what is known of a row that has to decode alone"""

LARGEST_SHIFT = 24
"""quarter octaves"""

SIGN_STEPS, LARGEST_ODDS = 4, 15
"""odds of a plus are told in so many steps to a factor of e, and up to so many of them"""

CHUNK = 8192
"""tokens whose inputs and outputs are held at a time: some 30 MiB"""

ONE = 12
"""bits behind the point where a difference becomes an input"""

QUARTER_OCTAVES = np.array([round((1 << ONE) * 2 ** (k / 4)) for k in range(4)], dtype=np.int64)

_DOWN = WEIGHT_BITS + ACTIVATION_BITS - 2
"""shift from the network's outputs to quarters: of an octave, of a factor of e"""


@dataclass(frozen=True)
class Expected:
    """Of n tokens' differences, int16 (n, dim) both."""

    shifts: NDArray[np.int16]
    """quarter octaves by which a scale is larger than the code's own"""
    odds: NDArray[np.int16]
    """of a plus: its log odds in 1/SIGN_STEPS"""

    def of(self, part: slice | NDArray) -> Expected:
        """Of some of the tokens."""
        return Expected(self.shifts[part], self.odds[part])


@dataclass(frozen=True)
class Surroundings:
    """The network for K codes of dim dimensions, of which the first V are told of neighbours' differences."""

    embedding: NDArray[np.int8]
    """(K + 1, E): of each code; the last is of a neighbour that is not there"""
    bands: NDArray[np.int16]
    """(BANDS, H): what latitude adds to the first layer"""
    units: NDArray[np.int8]
    """(V,): quarter octaves of the model's unit; a neighbour's difference counts in so large units"""
    network: IntegerNetwork
    """inputs: embeddings AROUND, then differences of SIDES; outputs: shifts, then log odds of a plus, both · dim"""

    def __post_init__(self) -> None:
        inputs, hidden = self.network.first.shape
        wanted = len(AROUND) * self.embedding.shape[1] + len(SIDES) * len(self.units)
        if inputs != wanted or self.bands.shape != (BANDS, hidden):
            raise ValueError("embeddings, units, bands and layers of the surroundings do not fit together")

    @property
    def dim(self) -> int:
        return self.network.last.shape[1] // 2

    def __call__(
        self,
        indices: NDArray[np.int64],
        cells: NDArray[np.int64],
        *,
        whole: bool,
        differences: NDArray[np.int8] | None = None,
    ) -> Expected:
        """Of the tokens ``cells`` (n,), flat positions in ``indices`` (rows, cols).

        ``whole``: the rows above and below are known; ``differences`` (rows, cols, V): those known, as inputs, 0 else.
        """
        shifts, odds = (np.empty((len(cells), self.dim), dtype=np.int16) for _ in range(2))
        bands = bands_of(len(indices))
        for start in range(0, len(cells), CHUNK):
            some = slice(start, start + CHUNK)
            inputs = self.inputs(indices, cells[some], whole=whole, differences=differences)
            outputs = self.network(inputs, self.bands[bands[cells[some] // indices.shape[1]]])
            quarters = (outputs + (1 << _DOWN >> 1)) >> _DOWN
            np.clip(quarters[:, : self.dim], -LARGEST_SHIFT, LARGEST_SHIFT, out=shifts[some], casting="unsafe")
            np.clip(quarters[:, self.dim :], -LARGEST_ODDS, LARGEST_ODDS, out=odds[some], casting="unsafe")
        return Expected(shifts, odds)

    def inputs(
        self,
        indices: NDArray[np.int64],
        cells: NDArray[np.int64],
        *,
        whole: bool,
        differences: NDArray[np.int8] | None,
    ) -> NDArray[np.int8]:
        """(n, I), see ``__call__``."""
        codes = neighbour_codes(indices, cells, len(self.embedding) - 1, whole=whole)
        inputs = np.zeros((len(cells), len(self.network.first)), dtype=np.int8)
        seen = len(AROUND) * self.embedding.shape[1]
        inputs[:, :seen] = self.embedding[codes].reshape(len(cells), seen)
        if differences is not None:
            inputs[:, seen:] = neighbour_values(differences, cells)
        return inputs

    def as_inputs(self, symbols: NDArray[np.int32], steps: NDArray[np.int64]) -> NDArray[np.int8]:
        """Symbols (n, dim) sent at ``steps`` (n,) quarter octaves → (n, V), by shifts and sums alone."""
        exponent = steps[:, None] - self.units.astype(np.int64)
        values = symbols[:, : len(self.units)].astype(np.int64) * QUARTER_OCTAVES[exponent & 3]
        shift = np.clip(ONE - (exponent >> 2), 0, 62)
        values = (values + (np.int64(1) << shift >> 1)) >> shift
        return np.clip(values, -LARGEST_INPUT, LARGEST_INPUT).astype(np.int8)


def neighbour_codes(
    indices: NDArray[np.int64], cells: NDArray[np.int64], outside: int, *, whole: bool
) -> NDArray[np.int64]:
    """Codes AROUND each of the ``cells``: (n, len(AROUND)), ``outside`` where there is none or it is not known."""
    codes = np.append(indices, outside)[neighbours_of(cells, indices.shape, AROUND)]
    if not whole:
        codes[:, [offset not in IN_THE_ROW for offset in AROUND]] = outside
    return codes


def neighbour_values(differences: NDArray[np.int8], cells: NDArray[np.int64]) -> NDArray[np.int8]:
    """Differences (rows, cols, V) at the SIDES of each of the ``cells``: (n, 4 · V), 0 beyond the poles."""
    rows, cols, count = differences.shape
    places = neighbours_of(cells, (rows, cols), SIDES)
    values = differences.reshape(rows * cols, count)[np.minimum(places, rows * cols - 1)]
    values[places == rows * cols] = 0
    return values.reshape(len(cells), len(SIDES) * count)


def first_half(rows: int, cols: int) -> NDArray[np.bool_]:
    """The squares of a checkerboard that are coded first, flat (rows · cols,)."""
    return (np.add.outer(np.arange(rows), np.arange(cols)) % 2 == 0).ravel()


def sign_frequencies() -> NDArray[np.int32]:
    """(LARGEST_ODDS + 1, 2): of the less and of the more likely sign by log odds, in 1/256; each row sums to 256."""
    likely = [min(255, round(256 / (1 + 2.718281828459045 ** (-k / SIGN_STEPS)))) for k in range(LARGEST_ODDS + 1)]
    return np.array([[256 - one, one] for one in likely], dtype=np.int32)
