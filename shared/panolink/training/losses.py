"""What training minimises: distortion on the sphere, the bits of the enhancement layer, and the adversary's verdict."""

from __future__ import annotations

import torch
from torch import Tensor


def sphere_distortion(pixels: Tensor, image: Tensor, latitude: Tensor, *, kind: str) -> Tensor:
    """Distortion of images on the sphere: rows are weighted by cos(latitude).

    Parameters
    ----------
    pixels, image : (batch, 3, H, W)
        The original and what came of it, in [0, 255].
    latitude : (batch, H)
        Of the rows, in radians.
    kind : str
        "mse"; or "l1", the paper's (8), scaled so that it has the same slope as the MSE at an error of 8.

    Returns
    -------
    (batch,)
        In squared pixel units of 255.
    """
    error = image - pixels
    error = error.square() if kind == "mse" else error.abs() * 16
    return (error.mean(dim=(1, 3)) * torch.cos(latitude)).mean(dim=1)
