"""Decoders of the two profiles: features (batch, dim, H/16, W/16) → pixels (batch, 3, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from panolink.codec.networks.blocks import PIXEL_STEP, PaperResidualBlock, ResidualBlock
from panolink.codec.networks.encoder import BaseEncoder
from panolink.sphere.padding import SphereConv2d

GUIDANCE_PLANES = 3
"""What the decoder is told of each token: is it kept, how coarse was its step, is it a guess."""


class BaseDecoder(nn.Module):
    """Features to pixels: the linear block transform's inverse plus a trunk that removes blocks and restores detail.

    ``guidance`` (batch, 3, rows, cols) tells the trunk how far each token can be trusted.
    """

    def __init__(self, *, dim: int, channels: tuple[int, int, int], blocks: tuple[int, int, int], leak: float) -> None:
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

    def forward(self, features: Tensor, guidance: Tensor) -> Tensor:
        normalised = features / self.scale[:, None, None]  # type: ignore[index]
        correction = self.trunk(self.stem(torch.cat([normalised, guidance], dim=1)))
        with torch.autocast(features.device.type, enabled=False):
            linear = self.transform(features.float()) * PIXEL_STEP
        return linear + correction.float() * 64 + 127.5


@torch.no_grad()
def start_as_transform(
    encoder: BaseEncoder, decoder: BaseDecoder, basis: Tensor, mean: Tensor, deviation: Tensor
) -> None:
    """Set the linear paths to an orthonormal block transform.

    ``basis`` (dim, 768): rows are principal components of 3×16×16 blocks of pixels − 127.5; ``mean`` (768,) of
    those blocks; ``deviation`` (dim,): standard deviation of each coefficient in pixel units.
    """
    kernel = basis.view(-1, 3, 16, 16)
    encoder.transform.weight.copy_(kernel)
    encoder.transform.bias.copy_(-(basis @ mean) / PIXEL_STEP)  # type: ignore[union-attr]
    decoder.transform.weight.copy_(kernel)
    # A transposed convolution has one bias per colour: the blocks' mean per colour, in feature units.
    decoder.transform.bias.copy_(mean.view(3, -1).mean(dim=1) / PIXEL_STEP)  # type: ignore[union-attr]
    decoder.scale.copy_(deviation / PIXEL_STEP + 1)  # type: ignore[operator]


class PaperDecoder(nn.Module):
    """The paper's semantic decoder: conv + ReLU; per octave a residual block, upsampling, conv, batch norm and ReLU;
    a closing conv.

    It takes ``guidance`` like every decoder and ignores it: the paper's decoder is told nothing.
    """

    def __init__(self, *, dim: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = channels[::-1]
        layers: list[nn.Module] = [SphereConv2d(dim, widths[0]), nn.ReLU()]
        for width, after in zip(widths, [*widths[1:], widths[-1]], strict=True):
            layers += [
                PaperResidualBlock(width),
                nn.Upsample(scale_factor=2),
                SphereConv2d(width, after, bias=False),
            ]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, SphereConv2d(widths[-1], 3))

    def forward(self, features: Tensor, guidance: Tensor) -> Tensor:
        return self.body(features / 4).float() * 127.5 + 127.5


def guidance_planes(kept: Tensor, step: Tensor, concealed: Tensor) -> Tensor:
    """Planes (batch, 3, rows, cols) that tell a decoder about each token; ``step`` in quarter octaves."""
    kept = kept.float()
    return torch.stack([kept, kept * step.float() / 8, concealed.float()], dim=1)
