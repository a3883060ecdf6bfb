"""The feature context model in plain torch operations, where the networks are: on a GPU. Integers, so the same ones."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.entropy.device_network import DeviceIntegerNetwork, exact_product, on_device
from panolink.codec.entropy.feature_context import (
    CODE_NEIGHBOURS,
    DIFFERENCE_NEIGHBOURS,
    FRACTION_BITS,
    MAX_LOG_ODDS,
    MAX_SCALE_SHIFT,
    OUTPUT_SHIFT,
    QUARTER_OCTAVES,
    ROW_NEIGHBOURS,
    EntropyParameters,
    FeatureContextModel,
)
from panolink.codec.entropy.index_context import bands_of
from panolink.codec.entropy.integer_network import MAX_INPUT

CHUNK = 1 << 16
"""tokens whose activations are held at a time: some 300 MiB"""


class DeviceFeatureContext:
    """A `FeatureContextModel` on a device; its methods are the same with tensors in place of arrays.

    Parameters
    ----------
    model : FeatureContextModel
    device : torch.device
    """

    def __init__(self, model: FeatureContextModel, device: torch.device) -> None:
        self._outside = len(model.embedding) - 1
        self._units = on_device(model.units, device, torch.int64)
        self._octaves = on_device(QUARTER_OCTAVES, device, torch.int64)
        self._bands = on_device(model.bands, device, torch.int32)
        self._look_up = on_device(model.look_up, device, torch.int32)
        self._network = DeviceIntegerNetwork(model.network, device)
        self._first = self._network.first[len(CODE_NEIGHBOURS) * model.embedding.shape[1] :]

    def __call__(
        self, indices: Tensor, cells: Tensor, *, whole: bool, differences: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Shifts of scales and log odds of signs, int8 (n, dim) each.

        Parameters
        ----------
        indices : int64 (rows, cols)
        cells : int64 (n,)
        whole : bool
        differences : int8 (rows · cols, V), optional
            As `as_inputs` gives them, 0 where there are none.
        """
        parts = [self._predicted(indices, some, whole, differences) for some in cells.split(CHUNK)]
        shifts, log_odds = (torch.cat(part) for part in zip(*parts, strict=True))
        return shifts, log_odds

    def of_arrays(
        self,
        indices: NDArray[np.int64],
        cells: NDArray[np.int64],
        *,
        whole: bool,
        differences: NDArray[np.int8] | None = None,
    ) -> EntropyParameters:
        """`FeatureContextModel.__call__`: arrays there and back."""
        grid, where = (on_device(array, self._units.device, torch.int64) for array in (indices, cells))
        known = None
        if differences is not None:
            known = on_device(differences.reshape(indices.size, -1), self._units.device, torch.int8)
        return on_host(self(grid, where, whole=whole, differences=known))

    def _predicted(
        self, indices: Tensor, cells: Tensor, whole: bool, differences: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        rows, cols = indices.shape
        flat = torch.cat([indices.flatten(), indices.new_full((1,), self._outside)])
        bands = on_device(bands_of(rows), cells.device, torch.int64)
        total = self._bands[bands[cells // cols]]
        for place, offset in enumerate(CODE_NEIGHBOURS):
            known = whole or offset in ROW_NEIGHBOURS
            codes = flat[_neighbour(cells, rows, cols, offset)] if known else torch.full_like(cells, self._outside)
            total = total + self._look_up[place, codes]
        if differences is not None:
            values = torch.cat([differences, torch.zeros_like(differences[:1])]).float()
            near = [values[_neighbour(cells, rows, cols, offset)] for offset in DIFFERENCE_NEIGHBOURS]
            total = total + exact_product(torch.cat(near, dim=1), self._first).int()
        outputs = self._network.after_first(total)
        quarters = (outputs + (1 << OUTPUT_SHIFT >> 1)) >> OUTPUT_SHIFT
        shifts, log_odds = quarters.split(quarters.shape[1] // 2, dim=1)
        return (
            shifts.clamp(-MAX_SCALE_SHIFT, MAX_SCALE_SHIFT).to(torch.int8),
            log_odds.clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS).to(torch.int8),
        )

    def as_inputs(self, symbols: Tensor, steps: Tensor) -> Tensor:
        """Symbols (n, dim) at ``steps`` (n,) as inputs, int8 (n, V)."""
        exponent = steps[:, None] - self._units
        values = symbols[:, : len(self._units)].long() * self._octaves[exponent & 3]
        shift = (FRACTION_BITS - (exponent >> 2)).clamp(0, 62)
        half = torch.ones_like(shift) << shift >> 1
        return ((values + half) >> shift).clamp(-MAX_INPUT, MAX_INPUT).to(torch.int8)


def on_host(context: tuple[Tensor, Tensor]) -> EntropyParameters:
    """Shifts and log odds (n, dim) as arrays: one copy."""
    shifts, log_odds = torch.stack(context).cpu().numpy()
    return EntropyParameters(shifts, log_odds)


def _neighbour(cells: Tensor, rows: int, cols: int, offset: tuple[int, int]) -> Tensor:
    """Flat positions of the neighbours at an offset (rows down, columns right); rows · cols beyond the poles."""
    row, col = cells // cols + offset[0], (cells % cols + offset[1]) % cols
    return torch.where((row >= 0) & (row < rows), row * cols + col, rows * cols)
