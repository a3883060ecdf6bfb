"""Filling lost tokens from their neighbours on the sphere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from panolink.sphere.padding import pad_sphere


def conceal(features: Tensor, lost: Tensor, *, wrap: bool = True) -> Tensor:
    """Replace lost tokens by the mean of the received ones around them, growing inwards until all are filled.

    features (batch, dim, rows, cols); lost (batch, rows, cols) bool. Nearer neighbours weigh more (a 3×3 binomial
    kernel). Where everything is lost the features come back as zeros.
    """
    if not lost.any():
        return features
    kernel = features.new_tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]])
    dim = features.shape[1]
    known = (~lost).to(features.dtype)[:, None]
    features = features * known
    for _ in range(max(features.shape[-2:])):
        if bool((known > 0).all()) or not bool((known > 0).any()):
            break
        stacked = pad_sphere(torch.cat([features * known, known], dim=1), 1, wrap=wrap)
        summed = F.conv2d(stacked, kernel.expand(dim + 1, 1, 3, 3), groups=dim + 1)
        weight = summed[:, -1:]
        fresh = (known == 0) & (weight > 0)
        features = torch.where(fresh, summed[:, :-1] / weight.clamp_min(1e-6), features)
        known = torch.where(fresh, torch.ones_like(known), known)
    return features
