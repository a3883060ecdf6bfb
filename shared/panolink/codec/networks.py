"""Encoders and decoders of the two profiles: ``paper``, as the paper has it, and ``base``, faster and better.

Both map pixels (batch, 3, H, W) in [0, 255] to features (batch, dim, H/16, W/16) and back. Features are in units of the
model's quantisation step: a difference of 1 is one step at step index 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panolink.sphere.padding import SphereConv2d

GUIDANCE_PLANES = 3
"""What the decoder is told of each token: is it kept, how coarse was its step, is it a guess."""

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
