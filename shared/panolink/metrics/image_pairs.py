"""Shared by the pixel metrics: two pictures brought to one form, and decibels."""

import numpy as np
import torch
from torch import Tensor

from panolink.errors import ImageError

MAX_PSNR_DB = 100.0
"""PSNR of identical images: finite, so that means, JSON and plots stay usable."""


def psnr(mean_squared_error: Tensor) -> Tensor:
    """PSNR = −10·log10(MSE) for values in [0, 1].

    Parameters
    ----------
    mean_squared_error : tensor of any shape

    Returns
    -------
    tensor, same shape
        Decibels, at most `MAX_PSNR_DB`.
    """
    return -10 * torch.log10(mean_squared_error.clamp(min=10 ** (-MAX_PSNR_DB / 10)))


def as_batch(reference: np.ndarray | Tensor, image: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    """Bring two pictures to one form, on the device of ``image``.

    Parameters
    ----------
    reference, image : array or tensor
        uint8 array (H, W, 3), or floating-point tensor (3, H, W) or (batch, 3, H, W) in [0, 1].

    Returns
    -------
    reference, image : floating-point (batch, 3, H, W) in [0, 1]

    Raises
    ------
    ImageError
        Another shape or dtype, or two different sizes.
    """
    second = _to_tensor(image)
    first = _to_tensor(reference).to(second.device)
    if first.shape != second.shape:
        sizes = " and ".join(f"{t.shape[0]}×{t.shape[3]}×{t.shape[2]}" for t in (first, second))
        raise ImageError(f"images to compare differ in count or size (count×width×height): {sizes}")
    return first, second


def _to_tensor(image: np.ndarray | Tensor) -> Tensor:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ImageError(f"expected a uint8 array (H, W, 3), got {image.dtype} {image.shape}")
        # A copy: the array may be read-only, which torch does not allow.
        return torch.from_numpy(image.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255
    if image.ndim not in (3, 4) or image.shape[-3] != 3 or not image.is_floating_point():
        raise ImageError(
            f"expected a floating-point tensor (3, H, W) or (batch, 3, H, W), got {image.dtype} {tuple(image.shape)}"
        )
    image = image if image.dtype == torch.float64 else image.float()
    return image if image.ndim == 4 else image.unsqueeze(0)
