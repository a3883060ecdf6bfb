"""Index context model: the probabilities of a token's index, conditioned on the indices of its neighbours.

Tokens are coded in passes, coarse to fine, each with what the passes before it have decoded as context: half of a whole
grid is coded last, every token between four known neighbours. Rows that have to decode alone are halved along the row
instead. A small integer network (`panolink.codec.entropy.integer_network`) maps neighbours, latitude and pass to a pmf
over the K codes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.integer_network import ACTIVATION_BITS, WEIGHT_BITS, IntegerNetwork, look_up_sum
from panolink.codec.entropy.range_coder import WHOLE, advance, quantile
from panolink.cpu import parallel, row_chunks, threads
from panolink.jit import kernel

BANDS = 32
"""of latitude from pole to pole: an input of the context models"""

LOGIT_BITS = 4
"""a logit becomes a probability in steps of 2^−4 octaves"""

TOTAL = 1 << 16
"""sum of each pmf's frequencies: dyadic probabilities, exact in float32"""

CHUNK = 512
"""tokens whose logits a thread holds at a time: 2 MiB for 1024 codes"""

BLOCK = 32
"""codes whose sum is compared before each of them is"""

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

    def frequencies(self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64]) -> NDArray[np.uint16]:
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
        uint16 (n, K)
            In 1/TOTAL, which each row sums to; positive, the same on every host.
        """
        found = np.empty((len(neighbours), self.codes), np.uint16)
        for part, logits in self._logits(number, neighbours, bands):
            parallel(
                lambda some, logits=logits, own=found[part]: _frequencies(logits[some], own[some]),
                row_chunks(len(logits), LEAST_ROWS),
            )
        return found

    def intervals(
        self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64], indices: NDArray[np.integer]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Intervals of known indices (n,) for the range coder: starts and widths; other parameters as of
        `frequencies`."""
        indices = indices.astype(np.int64, copy=False)
        start, width = (np.empty(len(indices), np.uint32) for _ in range(2))
        for part, logits in self._logits(number, neighbours, bands):
            arrays = indices[part], start[part], width[part]
            parallel(
                lambda some, logits=logits, arrays=arrays: _intervals(logits[some], *(one[some] for one in arrays)),
                row_chunks(len(logits), LEAST_ROWS),
            )
        return start, width

    def _logits(
        self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64]
    ) -> Iterator[tuple[slice, NDArray[np.int32]]]:
        """Outputs of the network, int32 (n, K), for so few tokens at a time that they stay in the cache."""
        table, together = self._look_up[slots_of(number, 1)], CHUNK * threads()
        for start in range(0, len(neighbours), together):
            part = slice(start, start + together)
            total = look_up_sum(table, neighbours[part], self.bands[number], bands[part])
            yield part, self.network.after_first(total)

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


_OCTAVE = tuple(WEIGHTS[: 1 << LOGIT_BITS])


@kernel
def _octave(k):
    """WEIGHTS[k & 15] as a tree of choices between constants: of vectors, where look-ups in memory are one by one."""
    a, b, c, d = k & 1 != 0, k & 2 != 0, k & 4 != 0, k & 8 != 0
    w0, w1 = _OCTAVE[1] if a else _OCTAVE[0], _OCTAVE[3] if a else _OCTAVE[2]
    w2, w3 = _OCTAVE[5] if a else _OCTAVE[4], _OCTAVE[7] if a else _OCTAVE[6]
    w4, w5 = _OCTAVE[9] if a else _OCTAVE[8], _OCTAVE[11] if a else _OCTAVE[10]
    w6, w7 = _OCTAVE[13] if a else _OCTAVE[12], _OCTAVE[15] if a else _OCTAVE[14]
    v0, v1 = w1 if b else w0, w3 if b else w2
    v2, v3 = w5 if b else w4, w7 if b else w6
    u0, u1 = v1 if c else v0, v3 if c else v2
    return u1 if d else u0


@kernel
def _shares(logits, levels, shares):
    """Shares of TOTAL of a token's codes by its logits (K,), (K,); ``levels`` (K,) is room. Loops are short and without
    branches, so that they are vectors."""
    codes = len(logits)
    largest = logits[0]
    for code in range(1, codes):
        largest = max(largest, logits[code])
    best = 0
    while logits[best] != largest:
        best += 1
    for code in range(codes):
        levels[code] = min((largest - logits[code]) >> LEVEL_SHIFT, len(WEIGHTS) - 1)
    for code in range(codes):
        shares[code] = _octave(levels[code])
    total = np.int64(0)
    for code in range(codes):
        weight = shares[code] >> (levels[code] >> LOGIT_BITS)
        shares[code] = weight
        total += weight
    unit = (TOTAL - codes) / np.float64(total)  # one rounded product each: the same on every host
    for code in range(codes):
        shares[code] = np.int32(shares[code] * unit) + 1
    total = 0
    for code in range(codes):
        total += shares[code]
    shares[best] += TOTAL - total  # what rounding leaves


@kernel
def _frequencies(logits, found):
    tokens, codes = logits.shape
    levels, shares = np.empty(codes, np.int32), np.empty(codes, np.int32)
    for token in range(tokens):
        own = found[token]
        _shares(logits[token], levels, shares)
        for code in range(codes):
            own[code] = shares[code]


@kernel
def _intervals(logits, indices, start, width):
    tokens, codes = logits.shape
    levels, shares = np.empty(codes, np.int32), np.empty(codes, np.int32)
    for token in range(tokens):
        _shares(logits[token], levels, shares)
        start[token], width[token] = interval(shares, indices[token])


@kernel
def interval(frequencies, index):
    """Start and width of an index's interval in the range coder's units, by the frequencies (K,) of all indices."""
    codes, below = len(frequencies), 0
    for code in range(index):
        below += np.int64(frequencies[code])
    start = scaled_start(below, index, codes)
    return start, scaled_start(below + np.int64(frequencies[index]), index + 1, codes) - start


@kernel
def scaled_start(below, index, codes):
    """Start of an index's interval in the range coder's units, of the probability in 1/TOTAL of all ``below`` it: as
    `panolink.codec.entropy.range_coder.cumulative` has it."""
    if index == codes:
        return np.int64(WHOLE)
    return np.int64(np.float32(below) * np.float32((WHOLE - codes) / TOTAL)) + index


@kernel
def decode_rows(state, words, frequencies, indices):
    """Decode an index for each row of frequencies (n, K); False where the payload is corrupt."""
    tokens, codes = frequencies.shape
    for token in range(tokens):
        found, own = quantile(state), frequencies[token]
        if found >= WHOLE:
            return False
        index, below = 0, 0
        while index + BLOCK < codes:  # the block, then the index
            more = below + _sum(own[index : index + BLOCK])
            if scaled_start(more, index + BLOCK, codes) > found:
                break
            index, below = index + BLOCK, more
        end = scaled_start(below + np.int64(own[index]), index + 1, codes)
        while end <= found:
            below += np.int64(own[index])
            index += 1
            end = scaled_start(below + np.int64(own[index]), index + 1, codes)
        start = scaled_start(below, index, codes)
        advance(state, words, np.uint32(start), np.uint32(end - start))
        indices[token] = index
    return True


@kernel
def _sum(frequencies):
    total = 0
    for code in range(len(frequencies)):
        total += np.int64(frequencies[code])
    return total
