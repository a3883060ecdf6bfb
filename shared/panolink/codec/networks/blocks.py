"""Encoders and decoders of the two profiles: ``paper``, as the paper has it, and ``base``, faster and better.

Both map pixels (batch, 3, H, W) in [0, 255] to features (batch, dim, H/16, W/16) and back. Features are in units of the
model's quantisation step: a difference of 1 is one step at step index 0.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from panolink.sphere.padding import SphereConv2d

PIXEL_STEP = 40.0
"""Pixel units (of 255) per feature unit: an orthonormal transform with step 40 codes a panorama at about 0.2 bpp."""


class ResidualBlock(nn.Module):
    """x + conv(leaky relu(conv(x))); the second convolution starts at zero, so that a new block changes nothing.

    ``leak`` is the slope below zero: with none, all units of a block can die and never come back.
    """

    def __init__(self, channels: int, *, leak: float) -> None:
        super().__init__()
        self.leak = leak
        self.first = SphereConv2d(channels, channels)
        self.second = SphereConv2d(channels, channels)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(x), self.leak))


class PaperResidualBlock(nn.Module):
    """Conv, batch norm, ReLU, conv, batch norm, and the skip (III-B of the paper)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            SphereConv2d(channels, channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            SphereConv2d(channels, channels, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
