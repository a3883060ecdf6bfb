"""Shape aliases for signatures of the codec: what an array or tensor holds, beside its type.

They are for readers and type checkers; nothing is checked at run time, and torch is not imported. Letters: H, W pixels
of a panorama; rows, cols tokens (H/16, W/16); dim dimensions of a feature; K codes; n tokens in row-major order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# ── tensors, on the device of the networks ────────────────────────────────────────────────────────────────────────────

Pixels: TypeAlias = "Tensor"
"""(batch, 3, H, W) float32, RGB in [0, 255]"""

Features: TypeAlias = "Tensor"
"""(batch, dim, rows, cols) float32, in units of the model's quantisation step: F and Q of formulas (1) and (2)"""

Codebook: TypeAlias = "Tensor"
"""(K, dim) float32: Z of formula (2)"""

Indices: TypeAlias = "Tensor"
"""(batch, rows, cols) int64 in [0, K): s of formula (2)"""

TokenMask: TypeAlias = "Tensor"
"""(batch, rows, cols) bool"""

TokenMap: TypeAlias = "Tensor"
"""(batch, rows, cols) float32 in [0, 1]: M of formula (6)"""

Guidance: TypeAlias = "Tensor"
"""(batch, 3, rows, cols) float32: kept, step, concealed, see `panolink.codec.networks.decoder.guidance_planes`"""

# ── arrays of one panorama, on the host ───────────────────────────────────────────────────────────────────────────────

Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3), RGB"""

IndexGrid: TypeAlias = NDArray[np.int64]
"""(rows, cols) in [0, K)"""

MaskGrid: TypeAlias = NDArray[np.bool_]
"""(rows, cols)"""

Symbols: TypeAlias = NDArray[np.signedinteger]
"""(n, dim): differences from the code in quantisation steps, rounded"""

ScaleClasses: TypeAlias = NDArray[np.uint8]
"""(n, dim) in [0, CLASSES): quantised Laplace scale of each symbol"""

LogOdds: TypeAlias = NDArray[np.int8]
"""(n, dim) in ±MAX_LOG_ODDS: of a positive sign, in 1/LOG_ODDS_STEPS"""
