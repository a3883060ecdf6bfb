"""Laplace prior: distributions of the symbols before any were counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.tables import CLASSES, MAX_MAGNITUDE

DEAD_ZONE = 0.65
"""magnitudes round up from here: about where the choice by rate and distortion has its threshold"""


def laplace_pmf() -> NDArray[np.float64]:
    """Mass of each magnitude, and of larger ones, by a Laplace pmf of each class's scale: (CLASSES, MAX_MAGNITUDE + 2).

    Magnitudes are rounded with a threshold of 0.65, about where the choice of symbols by rate and distortion has it.
    """
    scale = np.exp2((np.arange(CLASSES) - 16) / 4)[:, None]
    beyond = np.exp(-(np.arange(MAX_MAGNITUDE + 1) + DEAD_ZONE) / scale)  # P(magnitude > k), k = 0 … MAX_MAGNITUDE
    return np.concatenate([1 - beyond[:, :1], beyond[:, :-1] - beyond[:, 1:], beyond[:, -1:]], axis=1) + 1e-9
