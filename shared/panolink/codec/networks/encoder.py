"""Semantic encoders, formula (1): pixels (batch, 3, H, W) → features F (batch, dim, H/16, W/16)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panolink.codec.networks.blocks import PAPER_UNIT, PIXEL_STEP, PaperResidualBlock, ResidualBlock
from panolink.codec.networks.row_bands import RowQueue, RowStep, by_rows
from panolink.codec.shapes import Features, Pixels
from panolink.sphere.padding import SphereConv2d


class BaseEncoder(nn.Module):
    """Encoder of the profile ``base``: a linear 16×16 block transform plus a convolutional correction.

    ::

        x ─┬─ conv 16×16, stride 16 (starts as PCA) ─────────────────────────────────────── + ─ F
           └─ unshuffle 4 ─ conv ─ res × b0                                                 │
                └─ unshuffle 2 ─ conv ─ res × b1                                            │
                     └─ unshuffle 2 ─ conv ─ res × b2 ─ leaky ReLU ─ conv (starts at zero) ─┘

    The linear path makes the model a transform codec from its first step, so that training time goes into what a
    linear transform cannot do. Convolutions are 3×3 and wrap around the sphere.

    Parameters
    ----------
    dim : int
        Dimensions d of a feature.
    channels, blocks : tuple of three int
        Width and number of residual blocks at 1/4, 1/8 and 1/16 of the resolution.
    leak : float
        Slope of the activations below zero.
    """

    def __init__(self, *, dim: int, channels: tuple[int, ...], blocks: tuple[int, ...], leak: float) -> None:
        super().__init__()
        self.leak = leak
        self.transform = nn.Conv2d(3, dim, 16, stride=16)
        layers: list[nn.Module] = []
        previous = 3
        for width, depth, factor in zip(channels, blocks, (4, 2, 2), strict=True):
            layers += [nn.PixelUnshuffle(factor), SphereConv2d(previous * factor**2, width)]
            layers += [ResidualBlock(width, leak=leak) for _ in range(depth)]
            previous = width
        self.trunk = nn.Sequential(*layers)
        self.head = SphereConv2d(previous, dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, pixels: Pixels) -> Features:
        """Encode pixels; H and W are multiples of 16. Features are float32 also under autocast."""
        pixels = pixels - 127.5
        correction = self.head(F.leaky_relu(self.trunk(pixels / 64), self.leak))
        return self._linear(pixels) + correction.float()

    def by_rows(self) -> RowStep:
        """`forward` in bands of rows, of 16 pixels or a multiple; see `panolink.codec.networks.row_bands`."""
        trunk, ahead = by_rows(self.trunk, nn.LeakyReLU(self.leak), self.head), RowQueue()

        def step(pixels: Pixels, last: bool) -> Features | None:
            pixels = pixels - 127.5
            ahead.put(self._linear(pixels))
            correction = trunk(pixels / 64, last)
            return None if correction is None else ahead.take(correction.shape[-2]) + correction.float()

        return step

    def _linear(self, centred: Tensor) -> Features:
        """The block transform of pixels − 127.5."""
        with torch.autocast(centred.device.type, enabled=False):
            return self.transform(centred.float() / PIXEL_STEP)


class PaperEncoder(nn.Module):
    """Encoder of the profile ``paper`` (section III-B): downsampling blocks of two residual blocks and a strided conv.

    ::

        x ─ conv ─ ReLU ─ [ res ─ res ─ conv, stride 2 ] × 4 ─ ReLU ─ conv ─ batch norm ─ × unit ─ F

    The last batch norm's scales are the features' deviations, so that a quantisation step means the same in all
    dimensions, and what it means to the profile ``base``.

    Parameters
    ----------
    dim : int
        Dimensions d of a feature.
    channels : tuple of int
        Width at each resolution, the full one first; one octave per entry.
    """

    def __init__(self, *, dim: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [SphereConv2d(3, channels[0]), nn.ReLU()]
        for width, after in zip(channels, [*channels[1:], channels[-1]], strict=True):
            layers += [
                PaperResidualBlock(width),
                PaperResidualBlock(width),
                SphereConv2d(width, after, stride=2),
            ]
        layers += [nn.ReLU(), SphereConv2d(channels[-1], dim), nn.BatchNorm2d(dim)]
        self.body = nn.Sequential(*layers)

    def forward(self, pixels: Pixels) -> Features:
        """Encode pixels; H and W are multiples of 2^len(channels)."""
        return self.body(pixels / 127.5 - 1).float() * PAPER_UNIT

    def by_rows(self) -> RowStep:
        """`forward` in bands of rows, see `panolink.codec.networks.row_bands`."""
        body = by_rows(self.body)

        def step(pixels: Pixels, last: bool) -> Features | None:
            features = body(pixels / 127.5 - 1, last)
            return None if features is None else features.float() * PAPER_UNIT

        return step
