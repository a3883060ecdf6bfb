"""Vector quantisation: the nearest code of each token, formula (2), and its vector."""

from __future__ import annotations

from torch import Tensor


def nearest_code(features: Tensor, codebook: Tensor) -> Tensor:
    """Index of each token's nearest code, formula (2): (batch, dim, rows, cols) → int64 (batch, rows, cols)."""
    tokens = features.permute(0, 2, 3, 1).float()
    distance = codebook.square().sum(dim=1) - 2 * tokens @ codebook.T
    return distance.argmin(dim=-1)


def look_up(indices: Tensor, codebook: Tensor) -> Tensor:
    """Codebook vectors of indices (batch, rows, cols) as features (batch, dim, rows, cols)."""
    return codebook[indices].permute(0, 3, 1, 2)
