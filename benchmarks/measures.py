"""What benchmarks measure of a decoded panorama, by the names under which they report it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from panolink.metrics import perceptual
from panolink.metrics.pixels import as_batch, psnr
from panolink.metrics.spherical import ws_psnr
from panolink.metrics.ssim import ssim
from panolink.sphere.viewports import viewports


@dataclass(frozen=True)
class Measure:
    """``label`` heads columns. ``of_views`` takes views (14, 3, 171, 256) in [0, 1] of the original and of the decoded
    panorama."""

    label: str
    higher_is_better: bool
    of_views: Callable[[Tensor, Tensor], Tensor] | None = None
    digits: int = 3


MEASURES = {
    "vpsnr_db": Measure("VPSNR dB", True, lambda x, y: psnr((x - y).square().mean()), digits=2),
    "vssim": Measure("VSSIM", True, lambda x, y: ssim(x, y).mean()),
    "ws_psnr_db": Measure("WS-PSNR dB", True, digits=2),  # of the whole equirectangular picture
    "lpips": Measure("LPIPS", False, lambda x, y: perceptual.lpips()(x, y).mean()),
    "dists": Measure("DISTS", False, lambda x, y: perceptual.dists()(x, y).mean()),
    "feature_distance": Measure("perceptual loss", False, lambda x, y: perceptual.feature_distance()(x, y).mean()),
}
"""VPSNR and VSSIM as `panolink.metrics.viewport` has them; the rest are means over the 14 views."""

DEFAULT_MEASURES = ("vpsnr_db", "vssim", "lpips")


@torch.inference_mode()
def measure(reference: np.ndarray, image: np.ndarray, names: Iterable[str]) -> dict[str, float]:
    """Each named measure of ``image`` against ``reference``, both uint8 (H, W, 3)."""
    views = [viewports(x).flatten(0, 1) for x in as_batch(reference, image)]
    scores = {}
    for name in names:
        of_views = MEASURES[name].of_views
        scores[name] = float(of_views(*views)) if of_views else float(ws_psnr(reference, image))
    return scores
