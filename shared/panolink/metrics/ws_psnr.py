"""WS-PSNR: PSNR of a panorama with every row weighted by the area of the sphere that it covers.

Sun, Lu and Yu 2017, "Weighted-to-Spherically-Uniform Quality Evaluation for Omnidirectional Video".
"""

import numpy as np
import torch
from torch import Tensor

from panolink.metrics.image_pairs import as_batch, psnr
from panolink.sphere.latitude import latitude_weights


@torch.no_grad()
def ws_psnr(reference: np.ndarray | Tensor, image: np.ndarray | Tensor) -> float:
    """Spherically weighted PSNR in dB (at most 100), averaged over the images where several are given.

    Parameters
    ----------
    reference, image : array or tensor
        uint8 array (H, W, 3), or floating-point tensor (3, H, W) or (batch, 3, H, W) in [0, 1].

    Raises
    ------
    ImageError
        Shapes or dtypes that do not fit each other.
    """
    first, second = as_batch(reference, image)
    weights = latitude_weights(second.shape[2], device=second.device).to(second.dtype)
    rows = (first - second).square().mean(dim=(1, 3))
    return psnr((rows * weights).sum(dim=1) / weights.sum()).mean().item()
