"""LDPC decoders behind one interface: layered belief propagation in numba for CPUs, Sionna's for GPUs."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, Protocol

import numpy as np

from panolink.cpu import parallel
from panolink.errors import SettingError
from panolink.jit import kernel
from panolink.phy.fec.ldpc import BaseGraph, LdpcCode, lifted_graph
from panolink.phy.shapes import Bits, Llrs, WordLlrs

log = logging.getLogger(__name__)

FILLER_LLR = 1e4
"""LLR of a filler, which is known to be 0: far beyond what a demapper gives (60), far from float32's end"""

_ROW_STEP = 4
_Shape = tuple[BaseGraph, int, int]  # base graph, lifting size, rows of circulants


class LdpcDecoder(Protocol):
    """Turns soft bits into information bits. Errors that remain are detected by the segment's CRC, not here."""

    def decode(self, jobs: Sequence[tuple[LdpcCode, Llrs]]) -> list[Bits]:
        """Decode code blocks, which may be of different codes.

        Parameters
        ----------
        jobs : Sequence[tuple[LdpcCode, Llrs]]
            For each block its code and its LLRs ln P(0)/P(1), float32 (n,), in the order of transmission.

        Returns
        -------
        Information bits uint8 (k,) of each block.
        """
        ...


def decoder_for(device: str = "cpu") -> LdpcDecoder:
    """The decoder for a device.

    Parameters
    ----------
    device : str
        A torch device name.

    Returns
    -------
    Sionna's decoder for "cuda…" where Sionna is installed, the layered one for everything else.
    """
    if device.startswith("cuda") and sionna_is_installed():
        return _belief_propagation(device)
    return LayeredDecoder()


@lru_cache(maxsize=1)
def sionna_is_installed() -> bool:
    """Whether `BeliefPropagationDecoder` can be used; a log line says so, once, where it cannot."""
    if find_spec("sionna") is not None:
        return True
    log.info("LDPC is decoded on the CPU: decoding on a GPU needs panolink[gpu]")
    return False


class LayeredDecoder:
    """Layered belief propagation on the CPU, one code block per thread.

    Messages are float32, rows of circulants are the layers, and decoding stops as soon as every parity check holds.
    Layered schedules need about half the iterations of flooding ones (Hocevar 2004). At a block error rate of 1 %
    it performs like Sionna's belief propagation with 50 iterations; weighted min-sum, which is no faster, loses 0.1 to
    0.2 dB.

    Parameters
    ----------
    iterations : int
        The most that a block gets, ≥ 1.
    """

    def __init__(self, *, iterations: int = 32) -> None:
        self.iterations = iterations

    def decode(self, jobs: Sequence[tuple[LdpcCode, Llrs]]) -> list[Bits]:
        """See `LdpcDecoder.decode`."""
        return parallel(lambda job: self.decode_block(*job)[0], jobs)

    def decode_block(self, code: LdpcCode, llr: Llrs) -> tuple[Bits, int]:
        """Decode one block.

        Parameters
        ----------
        code : LdpcCode
            The block's code.
        llr : Llrs
            Its LLRs, float32 (n,), in the order of transmission.

        Returns
        -------
        The information bits uint8 (k,), and the iterations used; −1 where a parity check still fails.
        """
        return self.decode_word(code, recover_word(code, llr))

    def decode_word(self, code: LdpcCode, word: WordLlrs) -> tuple[Bits, int]:
        """As `decode_block`, from the LLRs of a word before rate matching.

        Parameters
        ----------
        code : LdpcCode
            The block's code.
        word : WordLlrs
            float32 (information columns + rows, z), 4 rows or more; overwritten with the LLRs after decoding.

        Returns
        -------
        As those of `decode_block`.
        """
        graph, bits = code.graph, np.empty(code.k, np.uint8)
        rows = word.shape[0] - graph.info_columns
        edges = graph.first_edge[: rows + 1], graph.columns, graph.shifts
        return bits, _belief_propagation_in_layers(word, *edges, self.iterations, bits)


class BeliefPropagationDecoder:
    """Sionna's `LDPCBPDecoder` (flooding, boxplus-phi) on a torch device, for GPUs.

    A decoder is fixed to one parity-check matrix and a GPU wants batches, but slices come in all lengths. So
    rate matching is undone here, and blocks of any k and n that share a base graph, a lifting size and about
    the same number of rows form one batch. Flooding takes 50 iterations to decode what the layered decoder does.

    Parameters
    ----------
    device : str
        A torch device name.
    iterations : int
        Of each block, ≥ 1.

    Raises
    ------
    SettingError
        Sionna is not installed.
    """

    def __init__(self, device: str = "cuda", *, iterations: int = 50) -> None:
        if not sionna_is_installed():
            raise SettingError("Sionna's LDPC decoder needs the package sionna-no-rt: pip install 'panolink[gpu]'")
        self.device, self.iterations = device, iterations
        self._lock = Lock()  # Sionna's blocks keep state while they run

    def decode(self, jobs: Sequence[tuple[LdpcCode, Llrs]]) -> list[Bits]:
        """See `LdpcDecoder.decode`."""
        import torch

        batches: dict[_Shape, list[int]] = defaultdict(list)
        for i, (code, _) in enumerate(jobs):
            rows = min(-(-code.active_rows // _ROW_STEP) * _ROW_STEP, code.graph.rows)
            batches[code.base_graph, code.graph.z, rows].append(i)
        results: list[np.ndarray] = [np.empty(0, np.uint8)] * len(jobs)
        for shape, members in batches.items():
            llrs = np.stack([recover_word(*jobs[i], rows=shape[2]).ravel() for i in members])
            logits = torch.from_numpy(-llrs).to(self.device)  # Sionna's sign: positive means 1
            with self._lock, torch.no_grad():
                decoder = _sionna_decoder(shape, self.iterations, self.device)
                words = decoder(logits).to(torch.uint8).cpu().numpy()
            for i, word in zip(members, words, strict=True):
                results[i] = word[: jobs[i][0].k]
        return results


@lru_cache(maxsize=64)  # megabytes each, and it is the sender who chooses the shapes
def _sionna_decoder(shape: _Shape, iterations: int, device: str) -> Any:
    from sionna.phy.fec.ldpc import LDPCBPDecoder

    return LDPCBPDecoder(parity_check_matrix(*shape), num_iter=iterations, device=device)


@lru_cache
def _belief_propagation(device: str) -> BeliefPropagationDecoder:
    return BeliefPropagationDecoder(device)


def parity_check_matrix(number: BaseGraph, z: int, rows: int) -> Any:
    """The parity-check matrix of the first rows of circulants (TS 38.212 §5.3.2).

    Parameters
    ----------
    number : BaseGraph
        Base graph, 1 or 2.
    z : int
        Lifting size.
    rows : int
        Of circulants, 4 … 46 (base graph 1) or 42.

    Returns
    -------
    scipy csr_matrix (rows·z, (information columns + rows)·z) of zeros and ones.
    """
    from scipy.sparse import csr_matrix

    graph, i = lifted_graph(number, z), np.arange(z)
    edges = slice(graph.first_edge[rows])
    row = np.repeat(np.arange(rows), np.diff(graph.first_edge[: rows + 1]))
    checks = row[:, None] * z + i
    bits = graph.columns[edges, None] * z + (i + graph.shifts[edges, None]) % z
    shape = (rows * z, (graph.info_columns + rows) * z)
    return csr_matrix((np.ones(checks.size), (checks.ravel(), bits.ravel())), shape=shape)


def recover_word(code: LdpcCode, llr: Llrs, *, rows: int | None = None) -> WordLlrs:
    """Undo rate matching of redundancy version 0.

    Parameters
    ----------
    code : LdpcCode
        The block's code.
    llr : Llrs
        LLRs of the transmitted bits, float32 (n,); those of a bit that was sent several times are added.
    rows : int | None
        Of circulants in the word; None: the code's active ones.

    Returns
    -------
    LLRs of the word, float32 (information columns + rows, z): 0 for bits that were not sent, `FILLER_LLR` for fillers.
    """
    graph = code.graph
    word = np.zeros((graph.info_columns + (code.active_rows if rows is None else rows)) * graph.z, np.float32)
    if code.repeats:
        np.add.at(word, code.sent_positions(), llr)
    else:
        word[code.sent_positions()] = llr
    word[code.k : code.k + code.filler] = FILLER_LLR
    return word.reshape(-1, graph.z)


_LN2, _QUARTER, _ZERO = np.float32(0.6931472), np.float32(0.25), np.float32(0)


@kernel
def _box_plus(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = 2·atanh(tanh(a/2)·tanh(b/2)), the LLR of the sum of two bits. `out` is neither of the two.

    That is sign(a·b)·(min(|a|, |b|) + c(|a| + |b|) − c(||a| − |b||)) with c(x) = ln(1 + e^−x), for which a line stands
    here, c(x) ≈ max(ln 2 − x/4, 0): nothing but additions and minima, eight or sixteen at a time.
    """
    for i in range(a.size):
        x, y = a[i], b[i]
        low, high = min(abs(x), abs(y)), max(abs(x), abs(y))
        size = low + max(_LN2 - _QUARTER * (high + low), _ZERO) - max(_LN2 - _QUARTER * (high - low), _ZERO)
        size = max(size, _ZERO)
        out[i] = size if x * y >= 0 else -size


@kernel
def _belief_propagation_in_layers(
    posterior: np.ndarray,
    first: np.ndarray,
    columns: np.ndarray,
    shifts: np.ndarray,
    iterations: int,
    bits: np.ndarray,
) -> int:
    """Decode `posterior`, float32 (columns, z), in place; decisions go to `bits`. Iterations used, or −1.

    The message of a check to each of its bits is the box-plus of the messages from all other bits: of those before it,
    accumulated in a forward pass, and of those behind it, accumulated in a backward pass.
    """
    z = posterior.shape[1]
    rows = first.size - 1
    messages = np.zeros((first[rows], z), np.float32)
    inputs = np.empty((19, z), np.float32)  # bits as the checks of a row see them; no row has more edges
    before = np.empty((19, z), np.float32)  # box-plus of the inputs up to each, itself included
    behind = np.empty((2, z), np.float32)  # box-plus of the inputs after an edge, at the edge's parity
    used = -1
    for iteration in range(iterations + 1):
        if _checks_hold(posterior, first, columns, shifts):
            used = iteration
            break
        if iteration == iterations:
            break
        for row in range(rows):
            start, last = first[row], first[row + 1] - 1
            for e in range(start, last + 1):
                seen, message = inputs[e - start], messages[e]
                column, split = posterior[columns[e]], z - shifts[e]
                head, tail = column[shifts[e] :], column[: shifts[e]]
                for i in range(split):
                    seen[i] = head[i] - message[i]
                for i in range(z - split):
                    seen[split + i] = tail[i] - message[split + i]
                if e == start:
                    before[0, :] = seen
                elif e < last:
                    _box_plus(before[e - start - 1], seen, before[e - start])
            messages[last, :] = before[last - start - 1]
            behind[(last - 1) & 1, :] = inputs[last - start]
            for e in range(last - 1, start, -1):
                _box_plus(before[e - start - 1], behind[e & 1], messages[e])
                _box_plus(behind[e & 1], inputs[e - start], behind[(e - 1) & 1])
            messages[start, :] = behind[start & 1]
            for e in range(start, last + 1):
                seen, message = inputs[e - start], messages[e]
                column, split = posterior[columns[e]], z - shifts[e]
                head, tail = column[shifts[e] :], column[: shifts[e]]
                for i in range(split):
                    head[i] = seen[i] + message[i]
                for i in range(z - split):
                    tail[i] = seen[split + i] + message[split + i]
    flat = posterior.reshape(-1)
    for i in range(bits.size):
        bits[i] = flat[i] < 0
    return used


@kernel
def _checks_hold(posterior: np.ndarray, first: np.ndarray, columns: np.ndarray, shifts: np.ndarray) -> bool:
    """Whether the hard decisions fulfil every parity check; gives up at the first row that fails."""
    z = posterior.shape[1]
    parity = np.empty(z, np.bool_)
    for row in range(first.size - 1):
        parity[:] = False
        for e in range(first[row], first[row + 1]):
            column, split = posterior[columns[e]], z - shifts[e]
            head, tail = column[shifts[e] :], column[: shifts[e]]
            for part, rotated in ((parity[:split], head), (parity[split:], tail)):
                for i in range(part.size):
                    part[i] ^= rotated[i] < 0
        if parity.any():
            return False
    return True
