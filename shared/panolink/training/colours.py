"""Colours that panoramas hardly have, for networks that are to code them all the same."""

from __future__ import annotations

import torch
from torch import Tensor

STRONGEST = 8.0
"""factor of saturation at most"""


def with_strong_colours(pixels: Tensor, share: float) -> Tensor:
    """Pictures of which some have other hues, far more saturated: what was greenish may be all magenta.

    Photographs' chroma is small. Networks that see nothing else code a surface of full saturation up to fifty levels
    off, however many bits it may take.

    Parameters
    ----------
    pixels : (batch, 3, H, W)
        In [0, 255].
    share : float
        Of the pictures that are changed, in the mean, 0 … 1. Saturation grows by a factor of 1 to `STRONGEST`, drawn
        evenly by its logarithm; channels change places.

    Returns
    -------
    (batch, 3, H, W)
        In [0, 255]; what leaves that range is clipped.
    """
    batch, device = len(pixels), pixels.device
    order = torch.rand(batch, 3, device=device).argsort(dim=1)
    saturation = STRONGEST ** torch.rand(batch, 1, 1, 1, device=device)
    changed = torch.rand(batch, 1, 1, 1, device=device) < share
    grey = pixels.mean(dim=1, keepdim=True)
    permuted = pixels.gather(1, order[:, :, None, None].expand_as(pixels))
    return torch.where(changed, (grey + saturation * (permuted - grey)).clamp(0, 255), pixels)
