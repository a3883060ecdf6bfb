"""5G NR LDPC codes: lifted base graph, rate matching, and an encoder (TS 38.212 §5.2.2, §5.3.2, §5.4.2).

The parity-check matrix is a grid of z × z circulants: an edge (row r, column c, shift s) says that check r·z
+ i sees bit c·z + (i + s) mod z. Encoder and decoder work on whole circulants, z bits at a time, and never
build the matrix.

A word before rate matching, in columns of z bits:

    | k information bits | fillers (0) | 4 core parities | one parity per further row |
      └ the first 2·z bits are never sent; neither are fillers

The base graphs are TS 38.212's tables 5.3.2-2 and 5.3.2-3, in `base_graph_1.csv` and `base_graph_2.csv`.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Literal

import numpy as np

from panolink.jit import kernel
from panolink.phy.shapes import BitBlocks, Positions

BaseGraph = Literal[1, 2]

_CORE_ROWS = 4
_VERSION_STARTS: dict[BaseGraph, tuple[int, ...]] = {1: (0, 17, 33, 56), 2: (0, 13, 25, 43)}  # table 5.4.2.1-2, in z
# Lifting sizes by set index i_LS: a·2^j ≤ 384, TS 38.212 table 5.3.2-1
_LIFTING_SETS = [[a << j for j in range(8) if a << j <= 384] for a in (2, 3, 5, 7, 9, 11, 13, 15)]


@dataclass(frozen=True, eq=False)
class LiftedGraph:
    """A base graph with its shifts for one lifting size. Edges are sorted by row, then by column.

    Parameters
    ----------
    z : int
        Lifting size, 2 … 384 (TS 38.212 table 5.3.2-1).
    info_columns : int
        Columns of information circulants, 22 (base graph 1) or 10 (base graph 2).
    first_edge : np.ndarray
        int32 (rows + 1,), where each row's edges start.
    columns : np.ndarray
        int32 (edges,), column of each edge.
    shifts : np.ndarray
        int32 (edges,), cyclic shift of each edge's circulant, 0 … z − 1.
    """

    z: int
    info_columns: int
    first_edge: np.ndarray
    columns: np.ndarray
    shifts: np.ndarray

    @property
    def rows(self) -> int:
        """Rows of circulants: 46 or 42."""
        return self.first_edge.size - 1

    @property
    def width(self) -> int:
        """Columns of circulants: 68 or 52."""
        return self.info_columns + self.rows


@lru_cache
def _base_graph_table(number: BaseGraph) -> np.ndarray:
    """One line per edge: row, column, the shift for each i_LS. int32 (edges, 10), sorted by row, column."""
    table = files("panolink.phy.fec").joinpath(f"base_graph_{number}.csv").read_text()
    return np.loadtxt(table.splitlines(), np.int32, delimiter=",", skiprows=2)


@lru_cache
def lifted_graph(number: BaseGraph, z: int) -> LiftedGraph:
    """Base graph `number` lifted by `z` (TS 38.212 §5.3.2).

    Parameters
    ----------
    number : BaseGraph
        1 or 2.
    z : int
        One of the lifting sizes of table 5.3.2-1.

    Returns
    -------
    The graph, kept for the next call.
    """
    table = _base_graph_table(number)
    i_ls = next(i for i, sizes in enumerate(_LIFTING_SETS) if z in sizes)
    rows = int(table[-1, 0]) + 1
    return LiftedGraph(
        z=z,
        info_columns=22 if number == 1 else 10,
        first_edge=np.searchsorted(table[:, 0], np.arange(rows + 1)).astype(np.int32),
        columns=np.ascontiguousarray(table[:, 1]),
        shifts=np.ascontiguousarray(table[:, 2 + i_ls] % z),
    )


@dataclass(frozen=True)
class LdpcCode:
    """An LDPC code with its rate matching (TS 38.212 §5.3.2, §5.4.2).

    Beyond the bits of the mother code, n ≈ 5·k, the circular buffer is read again from its start. Nothing is checked
    here: `SegmentFormat.blocks` yields numbers in these ranges only.

    Parameters
    ----------
    k : int
        Information bits, 12 … 8448 (base graph 1) or 3840 (base graph 2).
    n : int
        Transmitted bits, above k, a multiple of `bits_per_symbol`.
    bits_per_symbol : int
        2, 4 or 6; columns of the bit interleaver (§5.4.2.2).
    """

    k: int
    n: int
    bits_per_symbol: int

    @cached_property
    def base_graph(self) -> BaseGraph:
        """Base graph 1 or 2, as TS 38.212 §7.2.2 chooses."""
        rate = self.k / self.n
        return 2 if self.k <= 292 or (self.k <= 3824 and rate <= 0.67) or rate <= 0.25 else 1

    @cached_property
    def graph(self) -> LiftedGraph:
        """The base graph with the smallest lifting size that has room for k bits (TS 38.212 §5.2.2)."""
        columns = 22
        if self.base_graph == 2:
            columns = 10 if self.k > 640 else 9 if self.k > 560 else 8 if self.k > 192 else 6
        sizes = (z for sizes in _LIFTING_SETS for z in sizes if columns * z >= self.k)
        return lifted_graph(self.base_graph, min(sizes))

    @property
    def filler(self) -> int:
        """Information bits that are known to be 0 and not sent."""
        return self.graph.info_columns * self.graph.z - self.k

    @cached_property
    def active_rows(self) -> int:
        """Rows of circulants that matter: those above hold parities of which no bit is sent."""
        sent_up_to = 2 * self.graph.z + self.n + self.filler
        rows = -(-sent_up_to // self.graph.z) - self.graph.info_columns
        return min(max(_CORE_ROWS, rows), self.graph.rows)

    @property
    def repeats(self) -> bool:
        """Whether bits of the mother code are sent more than once."""
        return self.n > (self.graph.width - 2) * self.graph.z - self.filler

    def sent_positions(self, version: int = 0) -> Positions:
        """Place in the word before rate matching of each transmitted bit (TS 38.212 §5.4.2.1, buffer not limited).

        Parameters
        ----------
        version : int
            Redundancy version 0 … 3. Each starts elsewhere in the circular buffer, which is the word without its
            first two columns, skips the fillers, and wraps around. Only version 0 lies within the active rows, and
            suffices alone for decoding.

        Returns
        -------
        int64 (n,), positions in 0 … width·z − 1.
        """
        order = np.arange(self.n).reshape(self.bits_per_symbol, -1).T.ravel()  # write rows, read columns
        z = self.graph.z
        start = _VERSION_STARTS[self.base_graph][version] * z
        sent = self.graph.width * z - 2 * z - self.filler  # the circular buffer without its fillers
        first_filler = self.k - 2 * z
        start -= min(max(start - first_filler, 0), self.filler)
        positions = 2 * z + (start + order) % sent
        return positions + np.where(positions >= self.k, self.filler, 0)

    def encode(self, bits: BitBlocks, version: int = 0) -> BitBlocks:
        """Encode and rate-match code blocks.

        Parameters
        ----------
        bits : BitBlocks
            Information bits uint8 (blocks, k).
        version : int
            Redundancy version 0 … 3.

        Returns
        -------
        Transmitted bits uint8 (blocks, n).
        """
        words = self.encode_words(bits, rows=None if version == 0 else self.graph.rows)
        return words[:, self.sent_positions(version)]

    def encode_words(self, bits: BitBlocks, *, rows: int | None = None) -> BitBlocks:
        """Encode code blocks, without rate matching.

        Parameters
        ----------
        bits : BitBlocks
            Information bits uint8 (blocks, k).
        rows : int | None
            Rows of circulants whose parities are computed, 4 … 46 (base graph 1) or 42; None: the active ones.

        Returns
        -------
        Words uint8 (blocks, width·z); parities of further rows are 0.
        """
        graph = self.graph
        rows = self.active_rows if rows is None else rows
        words = np.zeros((bits.shape[0], graph.width * graph.z), np.uint8)
        words[:, : self.k] = bits
        for word in words.reshape(-1, graph.width, graph.z):
            _encode(word, graph.first_edge, graph.columns, graph.shifts, graph.info_columns, rows)
        return words


@lru_cache(maxsize=4096)
def ldpc_code(k: int, n: int, bits_per_symbol: int) -> LdpcCode:
    """`LdpcCode` of these numbers, cached: what it derives from them is derived once."""
    return LdpcCode(k, n, bits_per_symbol)


@kernel
def _add_rotated(target: np.ndarray, source: np.ndarray, shift: int) -> None:
    """target[i] ^= source[(i + shift) mod z]."""
    split = source.size - shift
    for part, rotated in ((target[:split], source[shift:]), (target[split:], source[:shift])):
        for i in range(part.size):
            part[i] ^= rotated[i]


@kernel
def _encode(word: np.ndarray, first: np.ndarray, columns: np.ndarray, shifts: np.ndarray, info: int, rows: int) -> None:
    """Fill in the parities of `word`, uint8 (width, z), whose information columns are set and the rest 0.

    The first parity column stands in three of the four core rows, twice with the same shift; the other core
    parities stand twice each, unshifted. So the sum of the core rows leaves that column alone, and every
    other parity follows from one row in which nothing else is unknown.
    """
    z = word.shape[1]
    total = np.zeros(z, np.uint8)
    shift = 0
    for row in range(4):
        for e in range(first[row], first[row + 1]):
            if columns[e] < info:
                _add_rotated(total, word[columns[e]], shifts[e])
            elif columns[e] == info and (row == 1 or row == 2):  # base graph 1: row 1, base graph 2: row 2
                shift = shifts[e]
    _add_rotated(word[info], total, (z - shift) % z)
    for row in range(rows):
        parity = info + row
        if row < 4:
            if row == 2:
                continue
            parity = info + (row + 1 if row < 2 else row)
        for e in range(first[row], first[row + 1]):
            if columns[e] != parity:
                _add_rotated(word[parity], word[columns[e]], shifts[e])
