"""VPSNR and VSSIM: fidelity on the 14 viewports of `panolink.sphere.viewports`.

    VPSNR   squared error pooled over the views of an image → PSNR of the image → mean over images
    VSSIM   SSIM of each view → mean over the views → mean over images

Protocol of Li et al. 2022 (LIC360): RGB in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from panolink.metrics.image_pairs import as_batch, psnr
from panolink.metrics.ssim import ssim
from panolink.sphere.viewports import viewports


@dataclass(frozen=True)
class ViewportScores:
    """VPSNR in dB (at most 100, see `panolink.metrics.image_pairs.psnr`) and VSSIM in [−1, 1]."""

    vpsnr_db: float
    vssim: float


def vpsnr(reference: np.ndarray | Tensor, image: np.ndarray | Tensor) -> float:
    """PSNR over the 14 views in dB, averaged over the images where several are given.

    Parameters
    ----------
    reference, image : array or tensor
        uint8 array (H, W, 3), or floating-point tensor (3, H, W) or (batch, 3, H, W) in [0, 1].

    Raises
    ------
    ImageError
        Shapes or dtypes that do not fit each other.
    """
    return _vpsnr(*_views(reference, image))


def vssim(reference: np.ndarray | Tensor, image: np.ndarray | Tensor) -> float:
    """SSIM over the 14 views, averaged over the images where several are given.

    Parameters
    ----------
    reference, image : uint8 (H, W, 3) or Tensor
        As for `vpsnr`.
    """
    return _vssim(*_views(reference, image))


def viewport_scores(reference: np.ndarray | Tensor, image: np.ndarray | Tensor) -> ViewportScores:
    """Both measures from one projection.

    Parameters
    ----------
    reference, image : uint8 (H, W, 3) or Tensor
        As for `vpsnr`.
    """
    views = _views(reference, image)
    return ViewportScores(vpsnr_db=_vpsnr(*views), vssim=_vssim(*views))


@torch.no_grad()
def _views(reference: np.ndarray | Tensor, image: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    first, second = as_batch(reference, image)
    return viewports(first), viewports(second)


def _vpsnr(reference: Tensor, image: Tensor) -> float:
    return psnr((reference - image).square().mean(dim=(1, 2, 3, 4))).mean().item()


def _vssim(reference: Tensor, image: Tensor) -> float:
    return ssim(reference.flatten(0, 1), image.flatten(0, 1)).mean().item()
