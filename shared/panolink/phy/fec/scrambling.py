"""Scrambling of coded bits with a Gold sequence (TS 38.211 §5.2.1 and §7.3.1.1).

Without it a payload of zeros would map to one corner of the constellation, and the burst would not have unit mean
power.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from panolink.jit import kernel

_C_INIT = 0x50414E4F  # in the place of NR's, which is made of cell and user: any 31-bit number both ends know
_N_C = 1600


def scrambling_sequence(n: int, *, c_init: int = _C_INIT) -> NDArray[np.uint8]:
    """The first n bits of the pseudo-random sequence c(i) of TS 38.211 §5.2.1.

    Parameters
    ----------
    n : int
        Length, ≥ 0.
    c_init : int
        Initial state of the second m-sequence, 31 bits.

    Returns
    -------
    uint8 (n,), 0 or 1, read-only: a view into a sequence that is kept.
    """
    return _sequence(1 << max(14, (n - 1).bit_length()), c_init)[:n]


def scramble(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Coded bits uint8 (n,) plus the scrambling sequence, modulo 2: uint8 (n,)."""
    return bits ^ scrambling_sequence(bits.size)


def descramble(llrs: NDArray[np.float32]) -> NDArray[np.float32]:
    """LLRs of scrambled bits float32 (n,) → LLRs of the bits before scrambling, float32 (n,): signs turned."""
    return llrs * (1 - 2 * scrambling_sequence(llrs.size).astype(np.float32))


@lru_cache(maxsize=8)
def _sequence(length: int, c_init: int) -> NDArray[np.uint8]:
    bits = np.empty(length, np.uint8)
    _gold_sequence(c_init, bits)
    bits.flags.writeable = False
    return bits


@kernel
def _gold_sequence(c_init: int, out: np.ndarray) -> None:
    """c(n) = x1(n + N_C) + x2(n + N_C) mod 2, registers of 31 bits shifted by one a step."""
    x1 = np.uint32(1)
    x2 = np.uint32(c_init)
    for i in range(-_N_C, out.size):
        if i >= 0:
            out[i] = (x1 ^ x2) & np.uint32(1)
        x1 = (x1 >> np.uint32(1)) | (((x1 >> np.uint32(3)) ^ x1) & np.uint32(1)) << np.uint32(30)
        feedback = (x2 >> np.uint32(3)) ^ (x2 >> np.uint32(2)) ^ (x2 >> np.uint32(1)) ^ x2
        x2 = (x2 >> np.uint32(1)) | (feedback & np.uint32(1)) << np.uint32(30)
