"""The step and the lmbda of a bit at which what pays fills a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panolink.errors import RateError

RD_LAMBDA = 0.1
"""squared steps per bit below which a bit is better spent elsewhere: best of 0.05 to 0.2 on validation panoramas"""


LMBDA_BY_BITS = 1.5
"""at one step, bits fall about as lmbda^(−1/1.5)"""


BITS_BY_STEP = 7 / 6
"""a step that is a quarter octave finer takes about so many times the bits"""


DEFAULT_STEP = 8
"""quarter octaves, where neither a rate nor a step is asked for"""


DEAREST = 3.0
"""a lmbda is at most so many times RD_LAMBDA, and at least RD_LAMBDA divided by it"""


FINEST_STEP, COARSEST_STEP = -8, 28


PILOT_TOKENS = 768


WORD_BITS = 32
"""the range coder ends a slice on a whole word"""


LENGTH_BITS = 16
"""a slice's length in the header"""


MASK_HEADER_BITS = 32
"""what a header with a mask may have beyond one without: a second and third byte of the mask's length, a third and
fourth of a file's feature slice's"""


@dataclass(frozen=True)
class Budget:
    """How much may be sent: ``bpp`` (all bits ÷ pixels) or ``tau`` (share of tokens kept), and the step, if fixed."""

    bpp: float | None = None
    tau: float | None = None
    step: int | None = None

    def __post_init__(self) -> None:
        if self.bpp is not None and self.tau is not None:
            raise RateError("give bpp or tau, not both")
        if self.bpp is not None and not (math.isfinite(self.bpp) and self.bpp > 0):
            raise RateError(f"bpp is {self.bpp}; it must be a positive number")
        if self.tau is not None and not 0 <= self.tau <= 1:
            raise RateError(f"tau is {self.tau}; the share of tokens kept must be from 0 to 1")
        if self.step is not None and not FINEST_STEP <= self.step <= COARSEST_STEP:
            raise RateError(f"step is {self.step}; it must be from {FINEST_STEP} to {COARSEST_STEP} quarter octaves")


def _mask_bits(kept: NDArray[np.int64] | int, tokens: int) -> NDArray[np.float64]:
    """Entropy of a mask that keeps ``kept`` of ``tokens``; its contexts can only save from there."""
    share = np.clip(np.asarray(kept, dtype=np.float64) / tokens, 1e-9, 1 - 1e-9)
    return -tokens * (share * np.log2(share) + (1 - share) * np.log2(1 - share))
