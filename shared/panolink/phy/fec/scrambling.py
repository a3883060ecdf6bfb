"""Making the bits of a burst look random."""

from functools import lru_cache

import numpy as np

from panolink.jit import kernel

_START = 0x50414E4F  # any 31-bit number will do; both ends need the same
_SKIPPED = 1600  # N_C of TS 38.211 §5.2.1


@kernel
def _gold_sequence(start: int, out: np.ndarray) -> None:
    x1 = np.uint32(1)
    x2 = np.uint32(start)
    for i in range(-_SKIPPED, out.size):
        if i >= 0:
            out[i] = (x1 ^ x2) & np.uint32(1)
        x1 = (x1 >> np.uint32(1)) | (((x1 >> np.uint32(3)) ^ x1) & np.uint32(1)) << np.uint32(30)
        feedback = (x2 >> np.uint32(3)) ^ (x2 >> np.uint32(2)) ^ (x2 >> np.uint32(1)) ^ x2
        x2 = (x2 >> np.uint32(1)) | (feedback & np.uint32(1)) << np.uint32(30)


@lru_cache(maxsize=8)
def _whitening(length: int, start: int) -> np.ndarray:
    bits = np.empty(length, np.uint8)
    _gold_sequence(start, bits)
    bits.flags.writeable = False
    return bits


def whitening(n: int, *, start: int = _START) -> np.ndarray:
    """Pseudo-random bits to add to coded bits: the Gold sequence of TS 38.211 §5.2.1, uint8 (n,), read-only.

    Without them a payload of zeros would map to one corner of a QAM, and the burst would not have unit mean
    power.
    """
    return _whitening(1 << max(14, (n - 1).bit_length()), start)[:n]
