"""Semantic encoders, formula (1): pixels (batch, 3, H, W) → features F (batch, dim, H/16, W/16)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from panolink.codec.networks.blocks import NETWORK_UNIT, PIXEL_STEP, ResidualBlock
from panolink.codec.networks.row_bands import RowQueue, RowStep, by_rows
from panolink.codec.shapes import Features, Pixels
from panolink.sphere.padding import SphereConv2d


def downsampling(inputs: int, dim: int, *, widths: Sequence[int], blocks: Sequence[int]) -> nn.Sequential:
    """The paper's encoder (section III-B): downsampling blocks of residual blocks and a strided convolution.

    ::

        conv ─ ReLU ─ [ res × b ─ conv, stride 2 ] × octaves ─ ReLU ─ conv ─ batch norm

    The last batch norm's scales are the features' deviations, so that a quantisation step means the same in all
    dimensions.

    Parameters
    ----------
    inputs, dim : int
        Channels that come in, and dimensions d of a feature.
    widths : sequence of int
        Channels at each resolution, the first one first; one more than octaves.
    blocks : sequence of int
        Residual blocks before each octave.
    """
    layers: list[nn.Module] = [SphereConv2d(inputs, widths[0]), nn.ReLU(inplace=True)]
    for width, after, depth in zip(widths[:-1], widths[1:], blocks, strict=True):
        layers += [ResidualBlock(width) for _ in range(depth)]
        layers += [SphereConv2d(width, after, stride=2)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True), SphereConv2d(widths[-1], dim), nn.BatchNorm2d(dim))


class PaperEncoder(nn.Module):
    """Encoder of the profile ``paper``: `downsampling` of pixels.

    Parameters
    ----------
    dim : int
        Dimensions d of a feature.
    channels : tuple of int
        Width at each resolution, the full one first; one octave per entry.
    """

    def __init__(self, *, dim: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.body = downsampling(3, dim, widths=(*channels, channels[-1]), blocks=(2,) * len(channels))

    def inputs(self, pixels: Pixels) -> Tensor:
        """What ``body`` takes: pixels from −1 to 1."""
        return pixels / 127.5 - 1

    def forward(self, pixels: Pixels) -> Features:
        """Encode pixels; H and W are multiples of 2^len(channels)."""
        return self.body(self.inputs(pixels)).float() * NETWORK_UNIT

    def by_rows(self) -> RowStep:
        """`forward` in bands of rows, see `panolink.codec.networks.row_bands`."""
        body = by_rows(self.body)

        def step(pixels: Pixels, last: bool) -> Features | None:
            features = body(self.inputs(pixels), last)
            return None if features is None else features.float() * NETWORK_UNIT

        return step


class BaseEncoder(nn.Module):
    """Encoder of the profile ``base``: the paper's from half the resolution on, and a linear transform beside it.

    ::

        x ─┬─ unshuffle 2 ─ [ downsampling ] × 3 octaves ─ + ─ F
           └─ conv 16×16, stride 16 (starts at zero) ──────┘

    Parameters
    ----------
    dim : int
        Dimensions d of a feature.
    channels, blocks : tuple of three int
        Width and number of residual blocks at 1/2, 1/4 and 1/8 of the resolution.
    """

    def __init__(self, *, dim: int, channels: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.body = downsampling(12, dim, widths=(*channels, dim), blocks=blocks)
        self.transform = nn.Conv2d(3, dim, 16, stride=16)
        nn.init.zeros_(self.transform.weight)
        nn.init.zeros_(self.transform.bias)  # type: ignore[arg-type]

    def inputs(self, pixels: Pixels) -> Tensor:
        """What ``body`` takes: 2×2 pixels, from −1 to 1, in the channels of one."""
        return F.pixel_unshuffle(pixels / 127.5 - 1, 2)

    def forward(self, pixels: Pixels) -> Features:
        """Encode pixels; H and W are multiples of 16. Features are float32 also under autocast."""
        return self._linear(pixels) + self.body(self.inputs(pixels)).float() * NETWORK_UNIT

    def by_rows(self) -> RowStep:
        """`forward` in bands of rows, of 16 pixels or a multiple; see `panolink.codec.networks.row_bands`."""
        body, ahead = by_rows(self.body), RowQueue()

        def step(pixels: Pixels, last: bool) -> Features | None:
            ahead.put(self._linear(pixels))
            features = body(self.inputs(pixels), last)
            return None if features is None else ahead.take(features.shape[-2]) + features.float() * NETWORK_UNIT

        return step

    def _linear(self, pixels: Pixels) -> Features:
        """The linear transform of blocks."""
        with torch.autocast(pixels.device.type, enabled=False):
            return self.transform((pixels.float() - 127.5) / PIXEL_STEP)
