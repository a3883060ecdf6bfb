"""Networks over a panorama in bands of rows: what they give at once, in memory that does not grow with its height.

    rows of a picture ─ band ─▶ conv ─▶ conv ─▶ … ─▶ rows of the result, some rows later
                                 └─ each keeps the rows above that its next ones need

Nothing is computed twice, as the overlaps of tiles would be, which are half as large again as tiles of a megapixel.
Bands are as wide as the panorama, so that columns wrap around as ever; the first and the last row are repeated at the
poles by each convolution, as ever. In bfloat16 results are the same to the bit; in float32 oneDNN adds up products in
another order for some shapes, and the last bits differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from panolink.sphere.padding import SphereConv2d, pad_between

RowStep: TypeAlias = Callable[[Tensor, bool], "Tensor | None"]
"""takes the next rows (batch, channels, rows, cols) of a picture, and whether they are its last; gives the rows that
follow from them, None where there are none yet. Of one picture only: it keeps rows"""

_POINTWISE = (nn.ReLU, nn.BatchNorm2d)


class RowQueue:
    """Rows that are put in bands and taken in others."""

    def __init__(self) -> None:
        self._rows: Tensor | None = None

    def put(self, rows: Tensor) -> None:
        """Append rows."""
        self._rows = rows if self._rows is None else torch.cat([self._rows, rows], dim=-2)

    def take(self, count: int) -> Tensor:
        """The first ``count`` rows, 1 … len(self); the others stay."""
        assert self._rows is not None
        rows, left = self._rows[..., :count, :], self._rows[..., count:, :]
        self._rows = left.clone() if left.shape[-2] else None  # a view would keep all of them
        return rows


def by_rows(*modules: nn.Module) -> RowStep:
    """Modules one after the other, band by band, for one whole panorama.

    Parameters
    ----------
    *modules : nn.Module
        In evaluation mode: spherical convolutions, activations, sequences of such, and what has a method
        ``by_rows`` itself.

    Raises
    ------
    TypeError
        For a module of which it is not known which rows it needs.
    """
    steps = [_step_of(module) for module in modules]
    usual = [0] * len(steps)  # rows that each is given

    def run(rows: Tensor, last: bool, begin: int) -> Tensor | None:
        """The modules from ``begin`` on."""
        for place in range(begin, len(steps)):
            count = rows.shape[-2]
            if not last:
                usual[place] = max(usual[place], count)
            elif usual[place] and 2 * count > 3 * usual[place]:  # those that all modules before have waited with
                parts = [run(rows[..., : count // 2, :], False, place), run(rows[..., count // 2 :, :], True, place)]
                return torch.cat([part for part in parts if part is not None], dim=-2)
            result = steps[place](rows, last)
            if result is None:
                return None
            rows = result
            del result
        return rows

    return lambda rows, last: run(rows, last, 0)


def _step_of(module: nn.Module) -> RowStep:
    if isinstance(module, nn.Sequential):
        return by_rows(*module)
    if own := getattr(module, "by_rows", None):
        return own()
    if isinstance(module, SphereConv2d):
        return _convolution(module)
    if isinstance(module, _POINTWISE) or _places_blocks(module):
        return lambda rows, last: module(rows)
    raise TypeError(f"{type(module).__name__} does not run in bands of rows")


def _places_blocks(module: nn.Module) -> bool:
    """Whether it is a transposed convolution whose blocks touch and do not overlap."""
    return isinstance(module, nn.ConvTranspose2d) and module.kernel_size == module.stride


def _convolution(conv: SphereConv2d) -> RowStep:
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    above: Tensor | None = None

    def step(rows: Tensor, last: bool) -> Tensor | None:
        nonlocal above
        margin, width = conv.margin, rows.shape[-1]
        top = rows[..., :1, :].expand(-1, -1, margin, -1) if above is None else above
        bottom = rows[..., -1:, :].expand(-1, -1, margin if last else 0, -1)
        padded = pad_between(rows, top, bottom, margin)
        count = max(0, (padded.shape[-2] - kernel) // stride + 1)
        above = padded[..., count * stride :, margin : margin + width].clone()
        return nn.Conv2d.forward(conv, padded[..., : (count - 1) * stride + kernel, :]) if count else None

    return step
