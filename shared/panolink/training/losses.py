"""Training losses: distortion on the sphere (8), rate and commitment (4), the adversarial ones (9), and their sum (10).

The perceptual loss (11) is a distance of `panolink.metrics.perceptual`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from panolink.codec.networks.blocks import PIXEL_STEP, pixel_error
from panolink.metrics.ssim import ssim_map

UNIFORM_LMBDA = 0.134
"""λ/Δ² of a uniformly quantised coefficient, in squared steps per bit: the value of H.264 and HEVC
(λ = 0.85·2^((QP−12)/3), Δ = 2^((QP−4)/6))"""


def sphere_distortion(pixels: Tensor, image: Tensor, latitude: Tensor, *, kind: str, structure: float = 0.0) -> Tensor:
    """Distortion of images on the sphere: rows are weighted by cos(latitude).

    Parameters
    ----------
    pixels, image : Tensor
        The original and what came of it, (batch, 3, H, W) in [0, 255].
    latitude : Tensor
        Of the rows, (batch, H) in radians.
    kind : str
        "mse"; or "l1", the paper's (8), scaled so that it has the same slope as the MSE at an error of 8.
    structure : float
        Share of the distortion that is 1 − SSIM, 0 … 1. It is scaled, image by image, to the size of the error that it
        stands beside: the value stays that of the error, and so its balance with λ times the bits; its slope
        moves towards where contrast is low.

    Returns
    -------
    Tensor
        (batch,), in squared pixel units of 255.
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


def commitment_loss(features: Tensor, codes: Tensor, *, factor: int) -> Tensor:
    """How far features are from their codebook vectors, the second term of formula (4).

    Parameters
    ----------
    features, codes : Tensor
        (batch, dim, rows, cols).
    factor : int
        Pixels per token, in each direction.

    Returns
    -------
    Tensor
        (batch,), in squared pixel units of 255 per pixel and channel.
    """
    return (features - codes).square().sum(dim=1).mean(dim=(1, 2)) * pixel_error(factor)


def rate_lmbda(step: Tensor) -> Tensor:
    """λ of bits per pixel against a distortion in squared pixel units of 255.

    Parameters
    ----------
    step : Tensor
        (batch,), quarter octaves of the quantiser.
    """
    return UNIFORM_LMBDA * PIXEL_STEP**2 / 3 * torch.exp2(step / 2)


def relative_loss(cost: Tensor, distortion: Tensor, weight: Tensor) -> Tensor:
    """Mean of costs relative to the distortions, softened: the benchmark's mean is over decibels.

    Parameters
    ----------
    cost, distortion : Tensor
        (batch,), in squared pixel units of 255.
    weight : Tensor
        (batch,), of the images.

    Returns
    -------
    Tensor
        Without dimensions.
    """
    return (weight * cost * (distortion.detach() + 10) ** -0.7).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of the discriminator's logits, formula (9) as a loss."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating loss of the generator, −log D(X̂), from the discriminator's logits."""
    return F.softplus(-fake).mean()
