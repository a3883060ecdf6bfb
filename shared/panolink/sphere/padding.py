"""Padding that knows the sphere: a panorama wraps from right to left and ends at the poles."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pad_sphere(x: Tensor, margin: int, *, wrap: bool = True) -> Tensor:
    """Pad (batch, channels, rows, cols) by ``margin`` on all four sides.

    Columns wrap around (the meridian at ±180° is no edge); rows beyond a pole repeat the last row. With
    ``wrap=False`` columns repeat the edge too: for crops, whose edges do not meet.
    """
    if not wrap:
        return F.pad(x, (margin,) * 4, mode="replicate")
    # Two concatenations copy in the tensor's own memory format; F.pad's circular mode is ten times slower there.
    x = torch.cat([x[..., -margin:], x, x[..., :margin]], dim=-1)
    top, bottom = x[..., :1, :].expand(-1, -1, margin, -1), x[..., -1:, :].expand(-1, -1, margin, -1)
    return torch.cat([top, x, bottom], dim=-2)


class SphereConv2d(nn.Conv2d):
    """A square convolution with padding on the sphere; the output has rows/stride × cols/stride samples.

    ``wrap`` is a plain attribute: the trainer, whose crops do not meet at their edges, switches it off.
    """

    wrap = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, bias=bias)
        self.margin = kernel_size // 2

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad_sphere(input, self.margin, wrap=self.wrap) if self.margin else input)


def set_wrap(module: nn.Module, wrap: bool) -> None:
    """Switch every spherical convolution inside ``module`` between whole panoramas and crops."""
    for child in module.modules():
        if isinstance(child, SphereConv2d):
            child.wrap = wrap


def pad_to_tokens(pixels: Tensor, factor: int) -> Tensor:
    """Pad (batch, 3, H, W) to multiples of ``factor``: columns go on around the sphere, the last row repeats."""
    height, width = pixels.shape[-2:]
    if extra := -width % factor:
        repeats = -(-extra // width)
        pixels = torch.cat([pixels, pixels.repeat(1, 1, 1, repeats)[..., :extra]], dim=-1)
    if extra := -height % factor:
        pixels = torch.cat([pixels, pixels[..., -1:, :].expand(-1, -1, extra, -1)], dim=-2)
    return pixels
