"""Encoders of the two profiles: pixels (batch, 3, H, W) → features (batch, dim, H/16, W/16), formula (1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panolink.codec.networks.blocks import PIXEL_STEP, PaperResidualBlock, ResidualBlock
from panolink.sphere.padding import SphereConv2d


class BaseEncoder(nn.Module):
    """Pixels to features: a linear 16×16 block transform plus what a convolutional trunk corrects.

        x ─┬─ 16×16 transform (starts as PCA) ───────────────────────────┬─ + ─ F
           └─ unshuffle 4 ─ res ─ unshuffle 2 ─ res ─ unshuffle 2 ─ res ─┘

    The linear path makes the model a transform codec from its first step, so that training time goes into what a
    linear transform cannot do.
    """

    def __init__(self, *, dim: int, channels: tuple[int, int, int], blocks: tuple[int, int, int], leak: float) -> None:
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

    def forward(self, pixels: Tensor) -> Tensor:
        pixels = pixels - 127.5
        correction = self.head(F.leaky_relu(self.trunk(pixels / 64), self.leak))
        with torch.autocast(pixels.device.type, enabled=False):
            return self.transform(pixels.float() / PIXEL_STEP) + correction.float()


class PaperEncoder(nn.Module):
    """The paper's semantic encoder: conv + ReLU; per octave two residual blocks and a strided conv; a closing conv with
    batch norm."""

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

    def forward(self, pixels: Tensor) -> Tensor:
        # Batch norm gives features of unit variance; a step of 1/4 of that serves the paper's range of rates.
        return self.body(pixels / 127.5 - 1).float() * 4
