"""LDPC decoders behind one interface: numba's min-sum for CPUs, Sionna's belief propagation for GPUs."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np

from panolink.phy.jit import kernel
from panolink.phy.ldpc import BaseGraph, LdpcCode, lifted_graph

_FILLER_LLR = 1e4
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Decoder(Protocol):
    """Turns soft bits into information bits. Whether they are right is for the segment's CRC to say."""

    def decode(self, jobs: Sequence[tuple[LdpcCode, np.ndarray]]) -> list[np.ndarray]:
        """Decode code blocks, which may be of different codes.

        jobs : (code, LLRs ln P(0)/P(1) float32 (n,), as transmitted) for each block.
        Returns the information bits uint8 (k,) of each.
        """
        ...


def decoder_for(device: str = "cpu") -> Decoder:
    """The decoder that suits a device: "cuda…" gets belief propagation, everything else min-sum."""
    return _belief_propagation(device) if device.startswith("cuda") else MinSumDecoder()


class MinSumDecoder:
    """Layered normalised min-sum on the CPU, one code block per thread.

    Messages are float32, checks are weighted by 0.75, rows of circulants are the layers. It stops as soon as
    every parity check holds. Layered schedules need about half the iterations of flooding ones (Hocevar
    2004).
    """

    def __init__(self, *, iterations: int = 20) -> None:
        self.iterations = iterations

    def decode(self, jobs: Sequence[tuple[LdpcCode, np.ndarray]]) -> list[np.ndarray]:
        """See `Decoder.decode`."""
        return parallel(lambda job: self.decode_block(*job)[0], jobs)

    def decode_block(self, code: LdpcCode, llr: np.ndarray) -> tuple[np.ndarray, int]:
        """One block: its information bits uint8 (k,), and the iterations used (−1: a check still fails)."""
        graph, bits = code.graph, np.empty(code.k, np.uint8)
        edges = graph.first_edge[: code.active_rows + 1], graph.columns, graph.shifts
        posterior = recover_word(code, llr)
        return bits, _min_sum(posterior, *edges, self.iterations, bits)


class BeliefPropagationDecoder:
    """Sionna's `LDPCBPDecoder` (flooding, boxplus-phi) on a torch device, for GPUs.

    Its construction is slow and fixed to one parity-check matrix. So rate matching is undone here, and blocks
    of any k and n that share a base graph and a lifting size form one batch for one decoder.
    """

    def __init__(self, device: str = "cuda", *, iterations: int = 20) -> None:
        self.device, self.iterations = device, iterations
        self._decoders: dict[tuple[BaseGraph, int], Any] = {}

    def decode(self, jobs: Sequence[tuple[LdpcCode, np.ndarray]]) -> list[np.ndarray]:
        """See `Decoder.decode`."""
        import torch

        batches: dict[tuple[BaseGraph, int], list[int]] = defaultdict(list)
        for i, (code, _) in enumerate(jobs):
            batches[code.base_graph, code.graph.z].append(i)
        results: list[np.ndarray] = [np.empty(0, np.uint8)] * len(jobs)
        for key, members in batches.items():
            llrs = np.stack([recover_word(*jobs[i], rows=jobs[i][0].graph.rows).ravel() for i in members])
            logits = torch.from_numpy(-llrs).to(self.device)  # Sionna's sign: positive means 1
            with torch.no_grad():
                words = self._decoder(*key)(logits).to(torch.uint8).cpu().numpy()
            for i, word in zip(members, words, strict=True):
                results[i] = word[: jobs[i][0].k]
        return results

    def _decoder(self, number: BaseGraph, z: int) -> Any:
        if (number, z) not in self._decoders:
            from sionna.phy.fec.ldpc import LDPCBPDecoder

            matrix = parity_check_matrix(number, z)
            decoder = LDPCBPDecoder(matrix, num_iter=self.iterations, hard_out=True, device=self.device)
            self._decoders[number, z] = decoder
        return self._decoders[number, z]


@lru_cache
def _belief_propagation(device: str) -> BeliefPropagationDecoder:
    return BeliefPropagationDecoder(device)


def parity_check_matrix(number: BaseGraph, z: int) -> Any:
    """The whole parity-check matrix, scipy.sparse.csr_matrix (rows·z, width·z) of float64."""
    from scipy.sparse import csr_matrix

    graph = lifted_graph(number, z)
    rows = np.repeat(np.arange(graph.rows), np.diff(graph.first_edge))
    i = np.arange(z)
    checks = rows[:, None] * z + i
    bits = graph.columns[:, None] * z + (i + graph.shifts[:, None]) % z
    shape = (graph.rows * z, graph.width * z)
    return csr_matrix((np.ones(checks.size), (checks.ravel(), bits.ravel())), shape=shape)


def recover_word(code: LdpcCode, llr: np.ndarray, *, rows: int | None = None) -> np.ndarray:
    """Undo rate matching: LLRs (n,) → LLRs of the word, float32 (info columns + rows, z).

    Bits that were not sent have LLR 0, fillers are surely 0. `rows`: the code's active ones unless given.
    """
    graph = code.graph
    word = np.zeros((graph.info_columns + (code.active_rows if rows is None else rows)) * graph.z, np.float32)
    word[code.sent_positions()] = llr
    word[code.k : code.k + code.filler] = _FILLER_LLR
    return word.reshape(-1, graph.z)


@kernel
def _min_sum(
    posterior: np.ndarray,
    first: np.ndarray,
    columns: np.ndarray,
    shifts: np.ndarray,
    iterations: int,
    bits: np.ndarray,
) -> int:
    """Decode `posterior`, float32 (columns, z), in place; decisions go to `bits`. Iterations used, or −1."""
    z = posterior.shape[1]
    rows = first.size - 1
    messages = np.zeros((first[rows], z), np.float32)
    inputs = np.empty((19, z), np.float32)  # bits as the checks of a row see them; no row has more edges
    least, second, sign = np.empty(z, np.float32), np.empty(z, np.float32), np.empty(z, np.float32)
    used = -1
    for iteration in range(iterations + 1):
        if _checks_hold(posterior, first, columns, shifts):
            used = iteration
            break
        if iteration == iterations:
            break
        for row in range(rows):
            least[:] = 1e30
            second[:] = 1e30
            sign[:] = 0.75
            for e in range(first[row], first[row + 1]):
                seen, message = inputs[e - first[row]], messages[e]
                column, split = posterior[columns[e]], z - shifts[e]
                seen[:split] = column[shifts[e] :]
                seen[split:] = column[: shifts[e]]
                for i in range(z):
                    value = seen[i] - message[i]
                    size = abs(value)
                    seen[i] = value
                    second[i] = min(second[i], max(least[i], size))
                    least[i] = min(least[i], size)
                    sign[i] = -sign[i] if value < 0 else sign[i]
            for e in range(first[row], first[row + 1]):
                seen, message = inputs[e - first[row]], messages[e]
                column, split = posterior[columns[e]], z - shifts[e]
                for i in range(z):
                    value = seen[i]
                    size = second[i] if abs(value) == least[i] else least[i]
                    size *= sign[i]
                    size = -size if value < 0 else size
                    message[i] = size
                    seen[i] = value + size
                column[shifts[e] :] = seen[:split]
                column[: shifts[e]] = seen[split:]
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


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads for kernels, which run without the GIL (numba's `parallel=True` dies with two callers)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(cores, thread_name_prefix="phy")


def parallel(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """[function(item) for item in items] on all cores; for functions that spend their time in kernels."""
    return list(_pool().map(function, items))
