"""What training minimises: distortion on the sphere, the bits of the enhancement layer, and the adversary's verdict."""

from __future__ import annotations

import torch
from torch import Tensor

from panolink.metrics.ssim import ssim_map


def sphere_distortion(pixels: Tensor, image: Tensor, latitude: Tensor, *, kind: str, structure: float = 0.0) -> Tensor:
    """Distortion of images on the sphere: rows are weighted by cos(latitude).

    Parameters
    ----------
    pixels, image : (batch, 3, H, W)
        The original and what came of it, in [0, 255].
    latitude : (batch, H)
        Of the rows, in radians.
    kind : str
        "mse"; or "l1", the paper's (8), scaled so that it has the same slope as the MSE at an error of 8.
    structure : float
        Share of the distortion that is 1 − SSIM, 0 … 1. It is scaled, image by image, to the size of the error that it
        stands beside: the value stays that of the error, and so its balance with the price of bits; its slope
        moves towards where contrast is low.

    Returns
    -------
    (batch,)
        In squared pixel units of 255.
    """
    error = image - pixels
    error = error.square() if kind == "mse" else error.abs() * 16
    distortion = _sphere_mean(error, latitude)
    if structure:
        dissimilarity = _sphere_mean(1 - ssim_map(pixels.float() / 255, image.float() / 255), latitude)
        scale = (distortion / dissimilarity.clamp_min(1e-4)).detach()
        distortion = (1 - structure) * distortion + structure * scale * dissimilarity
    return distortion


def _sphere_mean(values: Tensor, latitude: Tensor) -> Tensor:
    """Means (batch,) of values (batch, channels, H, W) whose rows are weighted by cos(latitude)."""
    return (values.mean(dim=(1, 3)) * torch.cos(latitude)).mean(dim=1)
