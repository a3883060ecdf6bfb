"""Index context model: the probabilities of a token's index, conditioned on the indices of its neighbours.

Tokens are coded in passes, coarse to fine, each with what the passes before it have decoded as context: half of a whole
grid is coded last, every token between four known neighbours. Rows that have to decode alone are halved along the row
instead. A small integer network (`panolink.codec.entropy.integer_network`) maps neighbours, latitude and pass to a pmf
over the K codes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.integer_network import ACTIVATION_BITS, WEIGHT_BITS, IntegerNetwork, look_up_sum
from panolink.codec.entropy.range_coder import WHOLE, advance, quantile
from panolink.cpu import parallel, row_chunks
from panolink.jit import kernel

BANDS = 32
"""of latitude from pole to pole: an input of the context models"""

LOGIT_BITS = 4
"""a logit becomes a probability in steps of 2^−4 octaves"""

TOTAL = 1 << 16
"""sum of each pmf's frequencies: dyadic probabilities, exact in float32"""

LEAST_ROWS = 64
"""tokens of which a thread is worth its start"""

_SIDES = ((0, -1), (0, 1))
_CROSS = ((-1, 0), (1, 0), *_SIDES)
_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


class Pass(NamedTuple):
    """The cells (row mod 4, column mod 4) that a pass codes, and where their neighbours lie (rows down, columns)."""

    cells: tuple[tuple[int, int], ...]
    neighbours: tuple[tuple[int, int], ...]


def _twice(offsets: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple((2 * down, 2 * right) for down, right in offsets)


def _cells(kind: str) -> tuple[tuple[int, int], ...]:
    """Cells of a pass drawn as four rows of four: ``x`` where it codes."""
    rows = kind.split()
    return tuple((row, column) for row in range(4) for column in range(4) if rows[row][column] == "x")


WHOLE_GRID = (
    Pass(_cells("x... .... .... ...."), ()),
    Pass(_cells(".... .... ..x. ...."), _twice(_DIAGONAL)),
    Pass(_cells("..x. .... x... ...."), _twice(_CROSS)),
    Pass(_cells(".... .x.x .... .x.x"), _DIAGONAL),
    Pass(_cells(".x.x x.x. .x.x x.x."), _CROSS),
)
"""passes over a grid that arrives whole or not at all"""

SINGLE_ROWS = (
    Pass(_cells("x... x... x... x..."), ()),
    Pass(_cells("..x. ..x. ..x. ..x."), _twice(_SIDES)),
    Pass(_cells(".x.x .x.x .x.x .x.x"), (*_SIDES, (0, -3), (0, 3))),
)
"""passes over rows whose neighbours above and below are unknown"""

PASSES = WHOLE_GRID + SINGLE_ROWS
SLOTS = sum(len(one.neighbours) for one in PASSES)


@dataclass(frozen=True)
class IndexContextModel:
    """The network for K codes, with embeddings of E numbers and layers of H.

    Raises
    ------
    ValueError
        Where the arrays do not fit together.
    """

    embedding: NDArray[np.int8]
    """(K + 1, E): of each code; the last is of a neighbour that is absent or not decoded yet"""
    bands: NDArray[np.int16]
    """(passes, BANDS, H): what pass and latitude add to the first layer"""
    network: IntegerNetwork
    """inputs: the embeddings of the neighbours of all passes, of which each pass connects its own; outputs: logits"""

    def __post_init__(self) -> None:
        inputs, hidden = self.network.first.shape
        if (inputs, self.bands.shape) != (SLOTS * self.embedding.shape[1], (len(PASSES), BANDS, hidden)):
            raise ValueError("embeddings, bands and layers of the index context model do not fit together")
        if self.codes != len(self.embedding) - 1:
            raise ValueError(f"index context model of {self.codes} codes has embeddings of {len(self.embedding) - 1}")

    @property
    def codes(self) -> int:
        """K, the number of codes."""
        return self.network.last.shape[1]

    def cumulative(self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Cumulative probabilities of the indices of n tokens.

        Parameters
        ----------
        number : int
            Of the pass in `PASSES`.
        neighbours : (n, neighbours of that pass)
            Indices, K where there is none.
        bands : (n,)
            Of latitude, see `bands_of`.

        Returns
        -------
        uint16 (n, K)
            Of all indices below each, in 1/TOTAL; strictly ascending, the same on every host.
        """
        logits = self._logits(number, neighbours, bands)
        found = np.empty(logits.shape, np.uint16)
        parallel(lambda some: _cumulative(logits[some], WEIGHTS, found[some]), row_chunks(len(found), LEAST_ROWS))
        return found

    def intervals(
        self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64], indices: NDArray[np.integer]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Intervals of known indices (n,) for the range coder: starts and widths; other parameters as of
        `cumulative`."""
        logits, indices = self._logits(number, neighbours, bands), indices.astype(np.int64, copy=False)
        start, width = (np.empty(len(indices), np.uint32) for _ in range(2))
        parallel(
            lambda some: _intervals(logits[some], WEIGHTS, indices[some], start[some], width[some]),
            row_chunks(len(indices), LEAST_ROWS),
        )
        return start, width

    def _logits(self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64]) -> NDArray[np.int32]:
        """Outputs of the network, int32 (n, K)."""
        table = self._look_up[slots_of(number, 1)]
        return self.network.after_first(look_up_sum(table, neighbours, self.bands[number], bands))

    @functools.cached_property
    def _look_up(self) -> NDArray[np.integer]:
        return self.network.look_up_table(self.embedding, SLOTS)


def slots_of(number: int, size: int) -> slice:
    """Inputs of the network that pass ``number`` connects, for embeddings of ``size`` numbers."""
    start = sum(len(one.neighbours) for one in PASSES[:number])
    return slice(start * size, (start + len(PASSES[number].neighbours)) * size)


class Step(NamedTuple):
    """A pass over a grid of a given size: flat positions of the cells that it codes, and of their neighbours."""

    number: int
    """of the pass in PASSES"""
    cells: NDArray[np.int32]
    """(n,)"""
    neighbours: NDArray[np.int32]
    """(n, neighbours of the pass): flat positions, rows · cols where there is none or it is not decoded yet"""


@functools.lru_cache(maxsize=8)
def schedule(rows: int, cols: int, *, whole: bool) -> tuple[Step, ...]:
    """The passes over a grid, in coding order; columns wrap as the panorama does.

    Parameters
    ----------
    rows, cols : int
    whole : bool
        Whether all rows arrive together, and so are context of one another.
    """
    passes = WHOLE_GRID if whole else SINGLE_ROWS
    turn = np.empty((rows, cols), dtype=np.int64)
    for number, one in enumerate(passes):
        for down, right in one.cells:
            turn[down::4, right::4] = number
    steps = []
    for number, one in enumerate(passes):
        cells = np.flatnonzero(turn == number).astype(np.int32)
        neighbours = neighbours_of(cells, (rows, cols), one.neighbours)
        neighbours[np.append(turn, number)[neighbours] >= number] = rows * cols
        if len(cells):
            steps.append(Step(number if whole else len(WHOLE_GRID) + number, cells, neighbours))
    return tuple(steps)


def neighbours_of(
    cells: NDArray[np.integer], shape: tuple[int, ...], offsets: Sequence[tuple[int, int]]
) -> NDArray[np.int32]:
    """Flat positions of the neighbours of cells.

    Parameters
    ----------
    cells : (n,)
        Flat positions in a grid of ``shape`` (rows, cols), whose columns wrap.
    offsets : sequence of (rows down, columns right)

    Returns
    -------
    int32 (n, len(offsets))
        rows · cols beyond the poles.
    """
    found = np.empty((len(cells), len(offsets)), dtype=np.int32)
    places = np.ascontiguousarray(cells, dtype=np.int64)
    _neighbours(places, *shape, np.array(offsets, dtype=np.int64).reshape(-1, 2), found)
    return found


@kernel
def _neighbours(cells, rows, cols, offsets, found):
    for place in range(len(cells)):
        row, col = cells[place] // cols, cells[place] % cols
        for slot in range(len(offsets)):
            there = row + offsets[slot, 0]
            inside = there >= 0 and there < rows
            found[place, slot] = there * cols + (col + offsets[slot, 1]) % cols if inside else rows * cols


def bands_of(rows: int) -> NDArray[np.int64]:
    """Band of latitude of each row of a panorama, (rows,)."""
    return (2 * np.arange(rows) + 1) * BANDS // (2 * rows)


LEVEL_SHIFT = WEIGHT_BITS + ACTIVATION_BITS - LOGIT_BITS
"""right shift from a logit to steps of 2^−LOGIT_BITS octaves"""


def _weights() -> NDArray[np.int32]:
    """Weights of codes by how many steps of 2^−LOGIT_BITS octaves their logits are below the largest: 2^(24 − k/16),
    rounded within an octave (none is near a half, so that they are the same wherever they are computed), then down."""
    octave = [round((1 << 24) * 2.0 ** (-k / (1 << LOGIT_BITS))) for k in range(1 << LOGIT_BITS)]
    levels = range(1 << LOGIT_BITS + 5)
    return np.array([octave[k % len(octave)] >> (k >> LOGIT_BITS) for k in levels], dtype=np.int32)


WEIGHTS = _weights()
"""(levels,): the last ones are 0, and so are all beyond"""


@kernel
def _shares(logits, table, shares):
    """Shares of TOTAL of a token's codes by its logits (K,), (K,); returns the code that takes what rounding leaves,
    and how much that is. Loops are short and without branches, so that all but the look-up are vectors."""
    codes = len(logits)
    largest = logits[0]
    for code in range(1, codes):
        largest = max(largest, logits[code])
    best = 0
    while logits[best] != largest:
        best += 1
    last = len(table) - 1
    for code in range(codes):
        shares[code] = min((largest - logits[code]) >> LEVEL_SHIFT, last)
    total = np.int64(0)
    for code in range(codes):
        weight = table[shares[code]]
        shares[code] = weight
        total += weight
    unit = (TOTAL - codes) / np.float64(total)  # one rounded product each: the same on every host
    for code in range(codes):
        shares[code] = np.int32(shares[code] * unit) + 1
    total = 0
    for code in range(codes):
        total += shares[code]
    return best, TOTAL - total


@kernel
def _cumulative(logits, table, found):
    tokens, codes = logits.shape
    shares = np.empty(codes, np.int32)
    for token in range(tokens):
        best, left = _shares(logits[token], table, shares)
        shares[best] += left
        below = 0
        for code in range(codes):
            found[token, code] = below
            below += shares[code]


@kernel
def _intervals(logits, table, indices, start, width):
    tokens, codes = logits.shape
    shares = np.empty(codes, np.int32)
    for token in range(tokens):
        best, left = _shares(logits[token], table, shares)
        shares[best] += left
        index, below = indices[token], 0
        for code in range(index):
            below += shares[code]
        start[token] = scaled_start(below, index, codes)
        width[token] = scaled_start(below + shares[index], index + 1, codes) - start[token]


@kernel
def scaled_start(below, index, codes):
    """Start of an index's interval in the range coder's units, of the probability in 1/TOTAL of all ``below`` it: as
    `panolink.codec.entropy.range_coder.cumulative` has it."""
    if index == codes:
        return np.int64(WHOLE)
    return np.int64(np.float32(below) * np.float32((WHOLE - codes) / TOTAL)) + index


@kernel
def decode_rows(state, words, cumulative, indices):
    """Decode an index for each row of cumulative probabilities (n, K); False where the payload is corrupt."""
    tokens, codes = cumulative.shape
    for token in range(tokens):
        found = quantile(state)
        if found >= WHOLE:
            return False
        low, high = 0, codes
        while high - low > 1:
            middle = (low + high) >> 1
            if scaled_start(np.int64(cumulative[token, middle]), middle, codes) <= found:
                low = middle
            else:
                high = middle
        first = scaled_start(np.int64(cumulative[token, low]), low, codes)
        last = np.int64(WHOLE)
        if low + 1 < codes:
            last = scaled_start(np.int64(cumulative[token, low + 1]), low + 1, codes)
        advance(state, words, np.uint32(first), np.uint32(last - first))
        indices[token] = low
    return True
