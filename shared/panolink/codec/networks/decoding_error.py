"""How far a decoded panorama is from the original, and how that changes with each feature.

    F̂ ─ decoder ─ X̂ ─┬─ D = Σ w · ((1 − s) · (X − X̂)² + s · c · (1 − SSIM)) ─ back through the decoder ─▶ ∂D/∂F̂
                 X ────┘

By the squared error alone, what is uncertain comes out smoother than it is: structure gets lost. So a share s of D is
dissimilarity of the brightness, c being such that both are of one size at first.

Large panoramas run in bands of rows, in memory that does not grow with their height. Rows around a band run with it,
for its pixels depend on them; those further away are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from panolink.codec.shapes import Features, Guidance, Image, Pixels
from panolink.metrics.ssim import ssim_map

BAND_TOKENS = 8192
"""tokens that run through the decoder at a time, and those around them: some 1.2 GiB for what a gradient needs"""

HALO = 4
"""rows of tokens above and below a band that run with it"""

BRIGHTNESS = (0.299, 0.587, 0.114)
"""shares of the colours, as of BT.601"""

PROBE_STEPS = 0.5
"""by how many quantisation steps features are moved to see a curvature: as far as rounding moves them"""


class DecodingError:
    """D: error of decoded pixels, squared (mean of the colours) and of structure, weighted and summed.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        What was encoded.
    weights : float32 (rows, cols)
        Of the pixels of each token, on the device of the features.
    decode : callable
        Features (1, dim, rows, cols) and guidance (1, 3, rows, cols) to pixels (1, 3, H', W'), about 0 … 255, whole
        tokens; of some of the rows, too. Autograd has to be able to follow it.
    structure : float
        s, 0 … 1.
    """

    def __init__(
        self,
        image: Image,
        weights: Tensor,
        decode: Callable[[Features, Guidance], Pixels],
        *,
        structure: float = 0.0,
    ) -> None:
        self._picture = torch.from_numpy(np.array(image)).to(weights.device).permute(2, 0, 1)
        self._weights, self._decode, self._structure = weights, decode, structure
        self._scales: dict[range, float] = {}
        """c of each band, as it was first found"""

    def __call__(self, features: Features, guidance: Guidance) -> tuple[float, Features]:
        """D and ∂D/∂F̂.

        Parameters
        ----------
        features : (1, dim, rows, cols)
            F̂.
        guidance : (1, 3, rows, cols)
        """
        total, gradient = 0.0, torch.zeros_like(features)
        for band, around in self._bands():
            some = features[..., around, :].detach().requires_grad_(True)
            with torch.enable_grad():
                error = self._error_of(self._decode(some, guidance[..., around, :]), band)
            gradient[..., around, :] += torch.autograd.grad(error, some)[0]
            total += float(error.detach())
        return total, gradient

    @torch.no_grad()
    def alone(self, features: Features, guidance: Guidance) -> float:
        """D without its gradient, in less than half of the time.

        Parameters
        ----------
        features : (1, dim, rows, cols)
            F̂.
        guidance : (1, 3, rows, cols)
        """
        return sum(
            float(self._error_of(self._decode(features[..., around, :], guidance[..., around, :]), band))
            for band, around in self._bands()
        )

    def curvature(self, features: Features, guidance: Guidance, gradient: Features, steps: Tensor) -> Features:
        """Diagonal of ∂²D/∂F̂², as one number for each dimension times the weights of tokens.

        Features are moved up or down at random, by about as much as rounding moves them (Hutchinson's estimator).

        Parameters
        ----------
        features : (1, dim, rows, cols)
            F̂.
        guidance : (1, 3, rows, cols)
        gradient : (1, dim, rows, cols)
            ∂D/∂F̂ there.
        steps : float32 (rows, cols)
            Quantisation step of each token, feature units.

        Returns
        -------
        (1, dim, rows, cols)
            Not below a quarter of its mean, nor above four times that; 0 everywhere where D does not curve upwards.
        """
        signs = torch.randint(0, 2, features.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        moved = signs.to(features.device) * (PROBE_STEPS * steps)
        change = self(features + moved, guidance)[1] - gradient
        over_tokens = (0, 2, 3)
        found = (change * moved).sum(over_tokens) / (moved.square() * self._weights).sum(over_tokens)
        mean = found.mean().clamp_min(0)
        return found.clamp(mean / 4, 4 * mean)[:, None, None] * self._weights[None, None]

    def _error_of(self, pixels: Pixels, band: range) -> Tensor:
        """D of a band of rows, from the pixels of those that ran with it."""
        height, width = self._picture.shape[-2:]
        above, factor = min(HALO, band.start), pixels.shape[-1] // self._weights.shape[1]
        top, bottom = band.start * factor, min(band.stop * factor, height)
        first = top - above * factor
        picture = self._picture[:, first : first + pixels.shape[-2]].float()
        decoded = pixels[0, :, : picture.shape[1], :width].clamp(0, 255)
        own = slice(top - first, bottom - first)
        weights = self._weights[band.start : band.stop].repeat_interleave(factor, 0).repeat_interleave(factor, 1)
        weights = weights[: bottom - top, :width]
        squared = ((decoded[:, own] - picture[:, own]).square().mean(dim=0) * weights).sum()
        if not self._structure:
            return squared
        alike = ssim_map(_brightness(picture), _brightness(decoded))[0, 0, own]
        unlike = ((1 - alike) * weights).sum()
        if band not in self._scales:
            self._scales[band] = float(squared.detach() / unlike.detach().clamp_min(1e-9))
        return (1 - self._structure) * squared + self._structure * self._scales[band] * unlike

    def _bands(self) -> list[tuple[range, slice]]:
        """Rows of tokens, and with them those around that run through the decoder at the same time."""
        rows, cols = self._weights.shape
        height = max(1, BAND_TOKENS // cols)
        bands = [range(start, min(start + height, rows)) for start in range(0, rows, height)]
        return [(band, slice(max(0, band.start - HALO), band.stop + HALO)) for band in bands]


def _brightness(pixels: Tensor) -> Tensor:
    """(1, 1, H, W) in [0, 1], of (3, H, W) in [0, 255]."""
    return (pixels * pixels.new_tensor(BRIGHTNESS)[:, None, None]).sum(dim=0)[None, None] / 255
