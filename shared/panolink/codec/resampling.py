"""Reducing and enlarging panoramas by Lanczos' kernel, around the sphere."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from panolink.codec.reduction import WHOLE, reduced_size

LOBES = 3
"""of the kernel"""


def reduce(image: NDArray[np.uint8], reduction: Fraction) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) → uint8 of ``reduced_size``."""
    if reduction == WHOLE:
        return image
    source = image.shape[1]
    height, width = reduced_size(image.shape[:2], reduction)  # type: ignore[arg-type]
    margin = LOBES * source / width
    columns = np.arange(-math.ceil(margin), source + math.ceil(margin)) % source
    padded = Image.fromarray(np.ascontiguousarray(image[:, columns]))
    left = math.ceil(margin) - margin
    box = (left, 0, left + source + 2 * margin, image.shape[0])
    small = padded.resize((width + 2 * LOBES, height), Image.Resampling.LANCZOS, box=box)
    return np.ascontiguousarray(np.asarray(small)[:, LOBES : LOBES + width])


def enlarge(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(batch, 3, h, w) → (batch, 3, H, W) of ``size`` (H, W), float32."""
    height, width = pixels.shape[-2:]
    pixels = pixels.float()
    if size[1] != width:
        places, weights = _taps(width, size[1])
        pixels = _weighted(pixels, -1, places % width, weights)
    if size[0] != height:
        places, weights = _taps(height, size[0])
        pixels = _weighted(pixels, -2, places.clamp(0, height - 1), weights)
    return pixels


def _taps(source: int, target: int) -> tuple[Tensor, Tensor]:
    """Places (taps, target) of source samples, and their weights, for each enlarged sample."""
    centres = (torch.arange(target, dtype=torch.float64) + 0.5) * source / target - 0.5
    places = centres.floor().long() + torch.arange(1 - LOBES, LOBES + 1)[:, None]
    distance = centres - places
    weights = torch.sinc(distance) * torch.sinc(distance / LOBES)
    return places, (weights / weights.sum(dim=0)).float()


def _weighted(pixels: Tensor, dim: int, places: Tensor, weights: Tensor) -> Tensor:
    shape = (-1, 1) if dim == -2 else (-1,)
    total = torch.zeros((), device=pixels.device)
    for place, weight in zip(places.to(pixels.device), weights.to(pixels.device), strict=True):
        total = total + pixels.index_select(dim, place) * weight.view(shape)
    return total
