"""What benchmarks measure of a decoded panorama, by the names under which they report it."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from panolink.metrics import perceptual
from panolink.metrics.image_pairs import as_batch, psnr
from panolink.metrics.ssim import ssim
from panolink.metrics.ws_psnr import ws_psnr
from panolink.sphere.viewports import viewports


@dataclass(frozen=True)
class Measure:
    """``label`` heads columns. ``of_views`` takes views (14, 3, 171, 256) in [0, 1] of the original and of the decoded
    panorama; ``distance`` is a network's that does so."""

    label: str
    higher_is_better: bool
    of_views: Callable[[Tensor, Tensor], Tensor] | None = None
    distance: Callable[[], perceptual.Distance] | None = None
    digits: int = 3


MEASURES = {
    "vpsnr_db": Measure("VPSNR dB", True, lambda x, y: psnr((x - y).square().mean()), digits=2),
    "vssim": Measure("VSSIM", True, lambda x, y: ssim(x, y).mean()),
    "ws_psnr_db": Measure("WS-PSNR dB", True, digits=2),  # of the whole equirectangular picture
    "lpips": Measure("LPIPS", False, distance=perceptual.lpips),
    "dists": Measure("DISTS", False, distance=perceptual.dists),
    "feature_distance": Measure("perceptual loss", False, distance=perceptual.feature_distance),
}
"""VPSNR and VSSIM as `panolink.metrics.viewport` has them; the rest are means over the 14 views."""

DEFAULT_MEASURES = ("vpsnr_db", "vssim", "lpips")


class Reference:
    """An original, uint8 (H, W, 3), and what measures need of it again for every picture compared with it."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.descriptions: dict[str, list[Tensor]] = {}

    @functools.cached_property
    def views(self) -> Tensor:
        return self._views_of(self.image)

    @torch.inference_mode()
    def measure(self, image: np.ndarray, names: Iterable[str]) -> dict[str, float]:
        """Each named measure of ``image``, uint8 (H, W, 3), against this; ImageError where its size is another."""
        views, scores = self._views_of(image), {}
        for name in names:
            kind = MEASURES[name]
            if kind.distance:
                network = kind.distance()
                if name not in self.descriptions:
                    self.descriptions[name] = network.describe(self.views)
                scores[name] = float(network.compare(self.descriptions[name], network.describe(views)).mean())
            else:
                scores[name] = float(kind.of_views(self.views, views) if kind.of_views else ws_psnr(self.image, image))
        return scores

    @torch.inference_mode()
    def _views_of(self, image: np.ndarray) -> Tensor:
        return viewports(as_batch(self.image, image)[1]).flatten(0, 1)
