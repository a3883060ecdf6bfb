"""Reducing and enlarging panoramas by Lanczos' kernel, around the sphere."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from panolink.codec.reduction import WHOLE, reduced_size
from panolink.sphere.padding import pad_sphere

LOBES = 3
"""of the kernel"""


def reduce(image: NDArray[np.uint8], reduction: Fraction) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) → uint8 of ``reduced_size``."""
    if reduction == WHOLE:
        return image
    up, down = reduction.as_integer_ratio()
    height, width = reduced_size(image.shape[:2], reduction)  # type: ignore[arg-type]
    margin = LOBES * down
    columns = np.arange(-LOBES * up, (width + margin) // down * up) % image.shape[1]
    rows = np.minimum(np.arange(height // down * up), image.shape[0] - 1)
    padded = Image.fromarray(np.ascontiguousarray(image[rows][:, columns]))
    small = np.asarray(padded.resize((width + 2 * margin, height), Image.Resampling.LANCZOS))
    return np.ascontiguousarray(small[:, margin : margin + width])


def enlarge(pixels: Tensor, reduction: Fraction, size: tuple[int, int]) -> Tensor:
    """(batch, 3, h, w) of ``reduced_size`` → (batch, 3, H, W) of ``size`` (H, W)."""
    if reduction == WHOLE:
        return pixels[..., : size[0], : size[1]]
    up, down = reduction.as_integer_ratio()
    batch, colours, height, width = pixels.shape
    padded = pad_sphere(pixels.float().reshape(batch * colours, 1, height, width), LOBES)
    phases = F.conv2d(padded, _kernels(reduction).to(pixels.device), stride=down)
    large = F.pixel_shuffle(phases, up)
    return large.view(batch, colours, *large.shape[-2:])[..., : size[0], : size[1]]


@functools.cache
def _kernels(reduction: Fraction) -> Tensor:
    """(up², 1, taps, taps): of each phase of a period of enlarged pixels."""
    up, down = reduction.as_integer_ratio()
    places = (torch.arange(up, dtype=torch.float64) + 0.5) * down / up - 0.5
    distance = torch.arange(-LOBES, LOBES + down, dtype=torch.float64) - places[:, None]
    taps = torch.where(distance.abs() < LOBES, torch.sinc(distance) * torch.sinc(distance / LOBES), 0.0)
    taps = taps / taps.sum(dim=1, keepdim=True)
    return torch.einsum("ya,xb->yxab", taps, taps).reshape(up**2, 1, *taps.shape[1:] * 2).float()
