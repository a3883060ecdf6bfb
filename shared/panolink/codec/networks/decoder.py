"""Semantic decoders: features F̂ (batch, dim, H/16, W/16) of formula (7) → pixels X̂ (batch, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from panolink.codec.networks.blocks import PAPER_UNIT, PIXEL_STEP, PaperResidualBlock, ResidualBlock
from panolink.codec.networks.encoder import BaseEncoder
from panolink.codec.networks.row_bands import RowQueue, by_rows
from panolink.codec.shapes import Features, Guidance, Pixels, TokenMask
from panolink.sphere.padding import SphereConv2d

GUIDANCE_PLANES = 3
"""Side information per token: whether it is kept, how coarse its step was, whether it was concealed."""


DecoderStep: TypeAlias = Callable[[Tensor, Tensor, bool], "Tensor | None"]
"""a `RowStep` that takes the next rows of features and of guidance"""


class BaseDecoder(nn.Module):
    """Decoder of the profile ``base``: the inverse block transform plus a trunk that deblocks and restores detail.

    ::

        F̂ ─┬─ transposed conv 16×16, stride 16 ────────┬───────────────────────────────────────────────── + ─ X̂
           │                                 unshuffle by 4 ─ conv                                         │
           │                                            ▼                                                  │
           └─ ÷ scale ─ concat ─ conv ─ [ stage ] × 2 ─ + ─ [ stage ] ─────────────────────────────────────┘
        guidance ───────┘
        stage: res × b ─ leaky ReLU ─ conv ─ shuffle (by 2, 2 and 4)

    Convolutions are 3×3 and wrap around the sphere; the last one, and the one that takes in pixels, start at zero.
    The latter lets the trunk see both sides of a block's edge, which the linear path leaves in flat surfaces.

    Parameters
    ----------
    dim : int
        Dimensions d of a feature.
    channels, blocks : tuple of three int
        Width and number of residual blocks at 1/16, 1/8 and 1/4 of the resolution.
    leak : float
        Slope of the activations below zero.
    pixel_stem : bool
        Whether pixels are taken in.
    """

    def __init__(
        self, *, dim: int, channels: tuple[int, ...], blocks: tuple[int, ...], leak: float, pixel_stem: bool = False
    ) -> None:
        super().__init__()
        self.transform = nn.ConvTranspose2d(dim, 3, 16, stride=16)
        self.register_buffer("scale", torch.ones(dim))
        self.stem = SphereConv2d(dim + GUIDANCE_PLANES, channels[0])
        layers: list[nn.Module] = []
        following = [*channels[1:], 3]
        for width, depth, factor, after in zip(channels, blocks, (2, 2, 4), following, strict=True):
            layers += [ResidualBlock(width, leak=leak) for _ in range(depth)]
            layers += [nn.LeakyReLU(leak), SphereConv2d(width, after * factor**2), nn.PixelShuffle(factor)]
        self.trunk = nn.Sequential(*layers)
        last = layers[-2]
        assert isinstance(last, SphereConv2d)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.fine = len(layers) - 3 - blocks[-1]
        """where in the trunk its last stage begins"""
        self.pixel_stem = SphereConv2d(3 * 4 * 4, channels[-1], bias=False) if pixel_stem else None
        if self.pixel_stem is not None:
            nn.init.zeros_(self.pixel_stem.weight)

    def forward(self, features: Features, guidance: Guidance) -> Pixels:
        """Decode features; ``guidance`` tells the trunk how far each token can be trusted. Pixels are not clipped."""
        linear, inner = self._linear(features), self.stem(self._inputs(features, guidance))
        for place, layer in enumerate(self.trunk):
            if place == self.fine and self.pixel_stem is not None:
                inner = inner + self.pixel_stem(self._groups(linear))
            inner = layer(inner)
        return linear + inner.float() * 64 + 127.5

    def by_rows(self) -> DecoderStep:
        """`forward` in bands of rows, see `panolink.codec.networks.row_bands`."""
        coarse, fine = by_rows(self.stem, self.trunk[: self.fine]), by_rows(self.trunk[self.fine :])
        sight = None if self.pixel_stem is None else by_rows(self.pixel_stem)
        seen, inner, ahead = RowQueue(), RowQueue(), RowQueue()

        def step(features: Features, guidance: Guidance, last: bool) -> Pixels | None:
            linear = self._linear(features)
            ahead.put(linear)
            rows = coarse(self._inputs(features, guidance), last)
            if sight is not None:
                for queue, more in ((seen, sight(self._groups(linear), last)), (inner, rows)):
                    if more is not None:
                        queue.put(more)
                count = min(len(seen), len(inner))
                rows = inner.take(count) + seen.take(count) if count else None
            correction = None if rows is None else fine(rows, last)
            if correction is None:
                return None
            pixels = correction.float().mul_(64)
            return pixels.add_(ahead.take(pixels.shape[-2])).add_(127.5)

        return step

    def _inputs(self, features: Features, guidance: Guidance) -> Tensor:
        """Of the stem."""
        return torch.cat([features / self.scale[:, None, None], guidance], dim=1)  # type: ignore[index]

    @staticmethod
    def _groups(linear: Pixels) -> Tensor:
        """4×4 pixels of the linear path in the channels of one, of a size as the trunk computes with."""
        return F.pixel_unshuffle(linear / 64, 4)

    def _linear(self, features: Features) -> Pixels:
        """The inverse block transform."""
        with torch.autocast(features.device.type, enabled=False):
            return self.transform(features.float()) * PIXEL_STEP


@torch.no_grad()
def initialize_as_block_transform(
    encoder: BaseEncoder, decoder: BaseDecoder, basis: Tensor, mean: Tensor, deviation: Tensor
) -> None:
    """Set the linear paths of both networks to an orthonormal block transform, in place.

    Parameters
    ----------
    encoder, decoder : BaseEncoder, BaseDecoder
        Of one profile.
    basis : (dim, 768)
        Rows are principal components of 3×16×16 blocks of pixels − 127.5.
    mean : (768,)
        Of those blocks, pixel units.
    deviation : (dim,)
        Standard deviation of each coefficient, pixel units.
    """
    kernel = basis.view(-1, 3, 16, 16)
    encoder.transform.weight.copy_(kernel)
    encoder.transform.bias.copy_(-(basis @ mean) / PIXEL_STEP)  # type: ignore[union-attr]
    decoder.transform.weight.copy_(kernel)
    # A transposed convolution has one bias per colour: the blocks' mean per colour, in feature units.
    decoder.transform.bias.copy_(mean.view(3, -1).mean(dim=1) / PIXEL_STEP)  # type: ignore[union-attr]
    decoder.scale.copy_(deviation / PIXEL_STEP + 1)  # type: ignore[operator]


class PaperDecoder(nn.Module):
    """Decoder of the profile ``paper`` (section III-B): upsampling blocks and a closing conv.

    ::

        F̂ ─ ÷ unit ─ conv ─ ReLU ─ [ res ─ upsample 2 ─ conv ─ batch norm ─ ReLU ] × 4 ─ conv ─ X̂

    The upsampling layer is a transposed convolution of 2×2 and stride 2, the counterpart of the encoder's strided one:
    it can undo that exactly, which repeating samples cannot.

    Parameters
    ----------
    dim : int
        Dimensions d of a feature.
    channels : tuple of int
        The encoder's: width at each resolution, the full one first.
    """

    def __init__(self, *, dim: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = channels[::-1]
        layers: list[nn.Module] = [SphereConv2d(dim, widths[0]), nn.ReLU()]
        for width, after in zip(widths, [*widths[1:], widths[-1]], strict=True):
            layers += [
                PaperResidualBlock(width),
                nn.ConvTranspose2d(width, width, 2, stride=2),
                SphereConv2d(width, after, bias=False),
            ]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, SphereConv2d(widths[-1], 3))

    def forward(self, features: Features, guidance: Guidance) -> Pixels:
        """Decode features; ``guidance`` is accepted like by every decoder and unused: the paper's has none."""
        return self.body(features / PAPER_UNIT).float() * 127.5 + 127.5

    def by_rows(self) -> DecoderStep:
        """`forward` in bands of rows, see `panolink.codec.networks.row_bands`."""
        body = by_rows(self.body)

        def step(features: Features, guidance: Guidance, last: bool) -> Pixels | None:
            pixels = body(features / PAPER_UNIT, last)
            return None if pixels is None else pixels.float() * 127.5 + 127.5

        return step


def guidance_planes(kept: TokenMask, step: Tensor, concealed: TokenMask) -> Guidance:
    """Side information for a decoder.

    Parameters
    ----------
    kept, concealed : (batch, rows, cols)
        Tokens whose feature was received, and tokens filled in from their neighbours.
    step : (batch, rows, cols)
        Quantisation step of each token, quarter octaves.

    Returns
    -------
    float32 (batch, 3, rows, cols)
    """
    kept = kept.float()
    return torch.stack([kept, kept * step.float() / 8, concealed.float()], dim=1)
