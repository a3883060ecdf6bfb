"""How far a decoded panorama is from the original, and how that changes with each feature.

    F̂ ─ decoder ─ X̂ ─┬─ D = Σ w · (X − X̂)² ─ back through the decoder ─▶ ∂D/∂F̂
                 X ────┘

Large panoramas run in bands of rows, in memory that does not grow with their height. Rows around a band run with it,
for its pixels depend on them; those further away are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from panolink.codec.shapes import Features, Guidance, Image, Pixels

BAND_TOKENS = 8192
"""tokens that run through the decoder at a time, and those around them: some 1.2 GiB for what a gradient needs"""

HALO = 4
"""rows of tokens above and below a band that run with it"""

PROBE_STEPS = 0.5
"""by how many quantisation steps features are moved to see a curvature: as far as rounding moves them"""


class DecodingError:
    """D: squared error of decoded pixels, mean of the colours, weighted and summed.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        What was encoded.
    weights : float32 (rows, cols)
        Of the pixels of each token, on the device of the features.
    decode : callable
        Features (1, dim, rows, cols) and guidance (1, 3, rows, cols) to pixels (1, 3, H', W'), about 0 … 255, whole
        tokens; of some of the rows, too. Autograd has to be able to follow it.
    """

    def __init__(self, image: Image, weights: Tensor, decode: Callable[[Features, Guidance], Pixels]) -> None:
        self._picture = torch.from_numpy(np.array(image)).to(weights.device).permute(2, 0, 1)
        self._weights, self._decode = weights, decode

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
        above = min(HALO, band.start)
        factor = pixels.shape[-1] // self._weights.shape[1]
        top, bottom = band.start * factor, min(band.stop * factor, height)
        own = pixels[0, :, above * factor : above * factor + bottom - top, :width]
        squares = (own.clamp(0, 255) - self._picture[:, top:bottom].float()).square().mean(dim=0)
        weights = self._weights[band.start : band.stop].repeat_interleave(factor, 0).repeat_interleave(factor, 1)
        return (squares * weights[: bottom - top, :width]).sum()

    def _bands(self) -> list[tuple[range, slice]]:
        """Rows of tokens, and with them those around that run through the decoder at the same time."""
        rows, cols = self._weights.shape
        height = max(1, BAND_TOKENS // cols)
        bands = [range(start, min(start + height, rows)) for start in range(0, rows, height)]
        return [(band, slice(max(0, band.start - HALO), band.stop + HALO)) for band in bands]
