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

from panolink.codec.entropy.integer_network import ACTIVATION_BITS, WEIGHT_BITS, IntegerNetwork
from panolink.cpu import parallel, row_chunks
from panolink.jit import kernel

BANDS = 32
"""of latitude from pole to pole: an input of the context models"""

LOGIT_BITS = 4
"""a logit becomes a probability in steps of 2^−4 octaves"""

TOTAL = 1 << 16
"""sum of each pmf's frequencies: dyadic probabilities, exact in float32"""

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

    def pmf(self, number: int, neighbours: NDArray[np.int64], bands: NDArray[np.int64]) -> NDArray[np.float32]:
        """Probabilities of the indices of n tokens.

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
        float32 (n, K)
            Positive multiples of 1/TOTAL that sum to 1 in each row, the same on every host.
        """
        size = self.embedding.shape[1]
        seen = self.embedding[neighbours].reshape(len(neighbours), -1)
        logits = self.network(seen, self.bands[number][bands], slots_of(number, size))
        pmf = np.empty(logits.shape, np.float32)
        parallel(lambda some: _pmfs(logits[some], _POWERS, pmf[some]), row_chunks(len(pmf), 64))
        return pmf


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
    rows, cols = shape
    found = np.empty((len(cells), len(offsets)), dtype=np.int32)
    for slot, (down, right) in enumerate(offsets):
        row = cells // cols + down
        found[:, slot] = np.where((row >= 0) & (row < rows), row * cols + (cells % cols + right) % cols, rows * cols)
    return found


def bands_of(rows: int) -> NDArray[np.int64]:
    """Band of latitude of each row of a panorama, (rows,)."""
    return (2 * np.arange(rows) + 1) * BANDS // (2 * rows)


_POWERS = np.array([round((1 << 24) * 2.0 ** (-k / (1 << LOGIT_BITS))) for k in range(1 << LOGIT_BITS)], dtype=np.int64)
"""2^(24 − k/16): none is near a half, so that they are the same wherever they are computed"""


@kernel
def _pmfs(logits, powers, pmf):
    tokens, codes = logits.shape
    weights = np.empty(codes, np.int64)
    shift = WEIGHT_BITS + ACTIVATION_BITS - LOGIT_BITS
    for token in range(tokens):
        best = 0
        for code in range(1, codes):
            if logits[token, code] > logits[token, best]:
                best = code
        total = np.int64(0)
        for code in range(codes):
            below = np.int64(logits[token, best] - logits[token, code]) >> shift
            weights[code] = powers[below & ((1 << LOGIT_BITS) - 1)] >> min(below >> LOGIT_BITS, 63)
            total += weights[code]
        unit = (TOTAL - codes) / np.float64(total)  # one rounded product each: the same on every host
        rest = np.int64(TOTAL)
        for code in range(codes):
            share = 1 + np.int64(weights[code] * unit)
            rest -= share
            pmf[token, code] = np.float32(share) * np.float32(1.0 / TOTAL)
        pmf[token, best] += np.float32(rest) * np.float32(1.0 / TOTAL)
