"""Spherical padding: columns wrap around, rows end at the poles; and convolutions that pad this way."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pad_sphere(x: Tensor, margin: int, *, wrap: bool = True) -> Tensor:
    """Pad a panorama on all four sides.

    Parameters
    ----------
    x : (batch, channels, rows, cols)
    margin : int
        Samples on each side, at most cols. Rows beyond a pole repeat the last row.
    wrap : bool
        Whether columns wrap around (the meridian at ±180° is no edge). Where not, they repeat the edge: for crops.

    Returns
    -------
    (batch, channels, rows + 2 · margin, cols + 2 · margin)
    """
    if not wrap:
        return _repeat_edges(x, margin) if torch.compiler.is_compiling() else F.pad(x, (margin,) * 4, mode="replicate")
    return _SpherePadding.apply(x, margin) if torch.is_grad_enabled() and x.requires_grad else _padded(x, margin)


def _padded(x: Tensor, margin: int) -> Tensor:
    return pad_between(x, x[..., :1, :].expand(-1, -1, margin, -1), x[..., -1:, :].expand(-1, -1, margin, -1), margin)


class _SpherePadding(torch.autograd.Function):
    """`pad_sphere` with a gradient in one copy: autograd's own, through assignments to parts, makes eight, which take
    longer than convolutions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, margin: int) -> Tensor:
        ctx.margin = margin
        return _padded(x, margin)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        margin, (gradient,) = ctx.margin, gradients
        height, width = (side - 2 * margin for side in gradient.shape[-2:])
        columns = gradient[..., margin : margin + width].clone(memory_format=_format(gradient))
        columns[..., width - margin :] += gradient[..., :margin]
        columns[..., :margin] += gradient[..., margin + width :]
        rows = columns[..., margin : margin + height, :]
        rows[..., 0, :] += columns[..., :margin, :].sum(dim=-2)
        rows[..., -1, :] += columns[..., margin + height :, :].sum(dim=-2)
        return rows, None


def _repeat_edges(x: Tensor, margin: int) -> Tensor:
    """`F.pad` by repeating edges, of parts that compilers merge with what is around, gradients as well."""
    above, below = x[..., :1, :].expand(-1, -1, margin, -1), x[..., -1:, :].expand(-1, -1, margin, -1)
    rows = torch.cat([above, x, below], dim=-2)
    left, right = rows[..., :1].expand(-1, -1, -1, margin), rows[..., -1:].expand(-1, -1, -1, margin)
    return torch.cat([left, rows, right], dim=-1)


def pad_between(x: Tensor, above: Tensor, below: Tensor, margin: int) -> Tensor:
    """Rows of a panorama between others, padded at the left and at the right: columns wrap around.

    Parameters
    ----------
    x : (batch, channels, rows, cols)
    above, below : (batch, channels, any, cols)
    margin : int
        Columns on each side, at most cols.

    Returns
    -------
    (batch, channels, rows above + rows + rows below, cols + 2 · margin)
    """
    height, width = x.shape[-2:]
    top, bottom = above.shape[-2], below.shape[-2]
    shape = *x.shape[:2], top + height + bottom, width + 2 * margin
    # One copy of everything: concatenating columns and then rows would be two, a third of an encoder's time.
    padded = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_format(x))
    inside = padded[..., margin : margin + width]
    inside[..., :top, :] = above
    inside[..., top : top + height, :] = x
    inside[..., top + height :, :] = below
    padded[..., :margin] = inside[..., width - margin :]
    padded[..., margin + width :] = inside[..., :margin]
    return padded


def _format(x: Tensor) -> torch.memory_format:
    """The memory format that a tensor, or what it is a part of, has."""
    return torch.channels_last if x.shape[1] > 1 and x.stride(1) == 1 else torch.contiguous_format


class SphereConv2d(nn.Conv2d):
    """A square convolution with spherical padding; the output has rows/stride × cols/stride samples.

    ``wrap`` is a plain attribute that `set_wrap` switches off while a model is trained on crops.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int
        Odd.
    stride : int
    bias : bool
    """

    wrap = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, bias=bias)
        self.margin = kernel_size // 2

    def forward(self, input: Tensor) -> Tensor:
        """(batch, in_channels, rows, cols) → (batch, out_channels, rows/stride, cols/stride)."""
        return super().forward(pad_sphere(input, self.margin, wrap=self.wrap) if self.margin else input)


def set_wrap(module: nn.Module, wrap: bool) -> None:
    """Set whether the spherical convolutions inside a module wrap.

    Parameters
    ----------
    module : nn.Module
    wrap : bool
        True for whole panoramas, False for crops.
    """
    for child in module.modules():
        if isinstance(child, SphereConv2d):
            child.wrap = wrap


def pad_to_tokens(pixels: Tensor, factor: int) -> Tensor:
    """Pad pixels at the right and at the bottom to whole tokens.

    Parameters
    ----------
    pixels : (batch, 3, H, W)
    factor : int
        Pixels per token in each direction.

    Returns
    -------
    (batch, 3, ⌈H/factor⌉ · factor, ⌈W/factor⌉ · factor)
        Columns go on around the sphere, the last row repeats.
    """
    height, width = pixels.shape[-2:]
    if extra := -width % factor:
        repeats = -(-extra // width)
        pixels = torch.cat([pixels, pixels.repeat(1, 1, 1, repeats)[..., :extra]], dim=-1)
    if extra := -height % factor:
        pixels = torch.cat([pixels, pixels[..., -1:, :].expand(-1, -1, extra, -1)], dim=-2)
    return pixels
