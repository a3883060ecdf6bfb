"""Laws of the symbols before any were counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.tables import CLASSES, LARGEST

DEAD_ZONE = 0.65
"""magnitudes round up from here: about where the choice by rate and distortion has its threshold"""


def laplace_law() -> NDArray[np.float64]:
    """(CLASSES, LARGEST + 2): mass of each magnitude, and of larger ones, under a Laplace law of each class's scale.

    Magnitudes are rounded with a threshold of 0.65, about where the choice of symbols by rate and distortion has it.
    """
    scale = np.exp2((np.arange(CLASSES) - 16) / 4)[:, None]
    beyond = np.exp(-(np.arange(LARGEST + 1) + DEAD_ZONE) / scale)  # P(magnitude > k), k = 0 … LARGEST
    return np.concatenate([1 - beyond[:, :1], beyond[:, :-1] - beyond[:, 1:], beyond[:, -1:]], axis=1) + 1e-9
