"""Semantic decoders: features F̂ (batch, dim, H/16, W/16) of formula (7) → pixels X̂ (batch, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from panolink.codec.networks.blocks import NETWORK_UNIT, PIXEL_STEP, ResidualBlock
from panolink.codec.networks.row_bands import RowQueue, by_rows
from panolink.codec.shapes import Features, Guidance, Pixels, TokenMask
from panolink.sphere.padding import SphereConv2d

GUIDANCE_PLANES = 3
"""Side information per token: whether it is kept, how coarse its step was, whether it was concealed."""


DecoderStep: TypeAlias = Callable[[Tensor, Tensor, bool], "Tensor | None"]
"""a `RowStep` that takes the next rows of features and of guidance"""


def upsampling(inputs: int, outputs: int, *, widths: Sequence[int], blocks: Sequence[int]) -> nn.Sequential:
    """The paper's decoder (section III-B): upsampling blocks and a closing convolution.

    ::

        conv ─ ReLU ─ [ res × b ─ upsample 2 ─ conv ─ batch norm ─ ReLU ] × octaves ─ conv

    The upsampling layer is a transposed convolution of 2×2 and stride 2, the counterpart of the encoder's strided one:
    it can undo that exactly, which repeating samples cannot. Without residual blocks before the first octave the ReLU
    before it is left out, since nothing could lower again what was lifted above zero for it.

    Parameters
    ----------
    inputs, outputs : int
        Channels that come in and go out.
    widths : sequence of int
        Channels at each resolution, the coarsest one first; one more than octaves.
    blocks : sequence of int
        Residual blocks before each octave.
    """
    layers: list[nn.Module] = [SphereConv2d(inputs, widths[0])]
    if blocks[0]:
        layers += [nn.ReLU(inplace=True)]
    for width, after, depth in zip(widths[:-1], widths[1:], blocks, strict=True):
        layers += [ResidualBlock(width) for _ in range(depth)]
        layers += [nn.ConvTranspose2d(width, width, 2, stride=2), SphereConv2d(width, after, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, SphereConv2d(widths[-1], outputs))


class PaperDecoder(nn.Module):
    """Decoder of the profile ``paper``: `upsampling` to pixels.

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
        self.body = upsampling(dim, 3, widths=(*widths, widths[-1]), blocks=(1,) * len(channels))

    def inputs(self, features: Features, guidance: Guidance) -> Tensor:
        """What ``body`` takes; ``guidance`` is accepted like by every decoder and unused: the paper's has none."""
        return features / NETWORK_UNIT

    def forward(self, features: Features, guidance: Guidance) -> Pixels:
        """Decode features. Pixels are not clipped."""
        return self.body(self.inputs(features, guidance)).float() * 127.5 + 127.5

    def by_rows(self) -> DecoderStep:
        """`forward` in bands of rows, see `panolink.codec.networks.row_bands`."""
        body = by_rows(self.body)

        def step(features: Features, guidance: Guidance, last: bool) -> Pixels | None:
            pixels = body(self.inputs(features, guidance), last)
            return None if pixels is None else pixels.float() * 127.5 + 127.5

        return step


class BaseDecoder(nn.Module):
    """Decoder of the profile ``base``: the paper's to half the resolution, and a linear transform beside it.

    ::

        F̂ ─┬─ concat ─ [ upsampling ] × 3 octaves ─ shuffle 2 ──────────────── + ─ X̂
        guidance ─┘                                                            │
           └─ transposed conv 16×16, stride 16 (starts at zero) ───────────────┘

    Guidance tells how far each token can be trusted: without it, a decoder smooths what came with fine steps as if they
    had been coarse.

    Parameters
    ----------
    dim : int
        Dimensions d of a feature.
    channels : tuple of four int
        Width at 1/16, 1/8, 1/4 and 1/2 of the resolution.
    blocks : tuple of three int
        Residual blocks at the first three of them; at the second and third at least one.
    """

    def __init__(self, *, dim: int, channels: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.transform = nn.ConvTranspose2d(dim, 3, 16, stride=16)
        self.body = upsampling(dim + GUIDANCE_PLANES, 12, widths=channels, blocks=blocks)
        nn.init.zeros_(self.transform.weight)
        nn.init.zeros_(self.transform.bias)  # type: ignore[arg-type]

    def inputs(self, features: Features, guidance: Guidance) -> Tensor:
        """What ``body`` takes."""
        return torch.cat([features / NETWORK_UNIT, guidance], dim=1)

    def forward(self, features: Features, guidance: Guidance) -> Pixels:
        """Decode features. Pixels are not clipped."""
        return self._linear(features) + _pixels(self.body(self.inputs(features, guidance)))

    def by_rows(self) -> DecoderStep:
        """`forward` in bands of rows, see `panolink.codec.networks.row_bands`."""
        body, ahead = by_rows(self.body), RowQueue()

        def step(features: Features, guidance: Guidance, last: bool) -> Pixels | None:
            ahead.put(self._linear(features))
            groups = body(self.inputs(features, guidance), last)
            if groups is None:
                return None
            pixels = _pixels(groups)
            return pixels.add_(ahead.take(pixels.shape[-2]))

        return step

    def _linear(self, features: Features) -> Pixels:
        """The linear transform of features to blocks."""
        with torch.autocast(features.device.type, enabled=False):
            return self.transform(features.float()) * PIXEL_STEP


def _pixels(groups: Tensor) -> Pixels:
    """Pixels from what has 2×2 of them, from −1 to 1, in the channels of one."""
    return F.pixel_shuffle(groups.float(), 2) * 127.5 + 127.5


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
