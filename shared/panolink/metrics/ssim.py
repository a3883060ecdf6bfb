"""Structural similarity (Wang et al. 2004): Gaussian window 11×11, σ = 1.5, C1 = 0.01², C2 = 0.03².

Borders count: the window runs over zeros outside the image, as in the PyTorch implementation that learned
compression papers share. On viewports that reads about 0.01 higher than leaving the borders out, so figures
compare only with figures made the same way.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2


def ssim(reference: Tensor, image: Tensor) -> Tensor:
    """SSIM of each image, averaged over channels and pixels. Differentiable.

    Args:
        reference, image: floating point `(batch, channels, height, width)` in [0, 1].

    Returns:
        `(batch,)`, 1 for identical images.
    """
    mean_x, mean_y = _blur(reference), _blur(image)
    var_x = _blur(reference * reference) - mean_x * mean_x
    var_y = _blur(image * image) - mean_y * mean_y
    covariance = _blur(reference * image) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
    structure = (2 * covariance + C2) / (var_x + var_y + C2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _blur(images: Tensor) -> Tensor:
    """Separable Gaussian over `(batch, channels, height, width)`, zeros outside."""
    offsets = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - (WINDOW - 1) / 2
    window = torch.exp(-offsets.square() / (2 * SIGMA**2))
    window = window / window.sum()
    planes = images.reshape(-1, 1, *images.shape[-2:])
    half = WINDOW // 2
    planes = F.conv2d(planes, window.view(1, 1, -1, 1), padding=(half, 0))
    planes = F.conv2d(planes, window.view(1, 1, 1, -1), padding=(0, half))
    return planes.view(images.shape)
