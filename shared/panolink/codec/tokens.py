"""A panorama as tokens: what the transmitter quantises and the receiver rebuilds from."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from panolink.codec.resolution import WHOLE
from panolink.sphere.latitude import latitudes


@dataclass(frozen=True)
class Tokens:
    """Indices of all tokens and the stepped differences of the kept ones; rows × cols tokens of dim dimensions."""

    width: int
    height: int
    step: int
    """quantisation step at the equator, quarter octaves of the model's unit"""
    indices: NDArray[np.int64]
    """(rows, cols) in [0, K)"""
    kept: NDArray[np.bool_]
    """(rows, cols): the feature itself is sent too"""
    symbols: NDArray[np.int32]
    """(number kept, dim): (feature − codebook vector) in steps, in row-major order of ``kept``"""
    activation: NDArray[np.float32] | None = None
    """(rows, cols) in [0, 1], the map that ranked the tokens; known to the transmitter only"""
    differences: NDArray[np.float32] | None = None
    """(number kept, dim): the differences themselves, where they came as amplitudes; ``symbols`` says nothing then"""
    reduction: Fraction = WHOLE
    """by how much the sides of the panorama were reduced; ``width`` and ``height`` are those of the panorama"""
    slices: int = 1
    """index slices that the rows are dealt to, each to be decoded alone"""
    concealed: NDArray[np.bool_] | None = None
    """(rows, cols): the index was lost on the way; None where nothing was"""

    @property
    def share(self) -> float:
        """τ: share of tokens kept."""
        return float(self.kept.mean())


def steps_at(latitude: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many quarter octaves coarser the step is at a latitude (radians) than at the equator; same shape.

    A token at latitude φ covers cos φ of an equatorial token's solid angle. With distortion weighted by cos φ, the
    step that spends bits best grows as cos φ^(−1/2): two quarter octaves for each halving of cos φ.
    """
    return np.rint(-2 * np.log2(np.maximum(np.cos(latitude.astype(np.float64)), 2.0**-4))).astype(np.int64)


def steps_of_rows(rows: int) -> NDArray[np.int64]:
    """``steps_at`` the rows of a panorama, (rows,)."""
    return steps_at(latitudes(rows).numpy())
