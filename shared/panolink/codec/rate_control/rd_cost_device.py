"""`panolink.codec.rate_control.rd_cost` for features on a GPU: only symbols, bits and gain come back to the host."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.entropy.device_context import DeviceFeatureContext, on_host
from panolink.codec.entropy.device_network import on_device
from panolink.codec.entropy.feature_context import EntropyParameters
from panolink.codec.entropy.tables import Tables
from panolink.codec.rate_control.rd_cost import TokenCostModel, TokenCosts
from panolink.codec.rate_control.rdoq_device import DeviceChoice
from panolink.sphere.focus import Focus


class DeviceTables:
    """What of a model's tables the costs of tokens take, on a device.

    Parameters
    ----------
    tables : Tables
    lengths : float32 (CLASSES, MAX_MAGNITUDE + 2)
    context : DeviceFeatureContext
        The tables' feature context model there.
    device : torch.device
    """

    def __init__(
        self, tables: Tables, lengths: NDArray[np.float32], context: DeviceFeatureContext, device: torch.device
    ) -> None:
        self.device, self.context = device, context
        self.choose = DeviceChoice(tables, lengths, device)


class DeviceTokenCostModel(TokenCostModel):
    """A `TokenCostModel` whose tokens stay on the device; parameters are the same, and the tables there."""

    def __init__(
        self,
        tables: Tables,
        lengths: NDArray[np.float32],
        indices: NDArray[np.int64],
        difference: Tensor,
        *,
        whole: bool,
        there: DeviceTables,
        focus: tuple[Focus, ...] = (),
    ) -> None:
        super().__init__(tables, lengths, indices, difference, whole=whole, focus=focus)
        self._there = there
        self._grid = self._tensor(indices)
        self._steps = self._tensor(self.steps)

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        return on_device(array, self._there.device, torch.int64)

    @functools.cached_property
    def _context_of_all(self) -> tuple[Tensor, Tensor]:
        cells = torch.arange(self._grid.numel(), device=self._there.device)
        return self._there.context(self._grid, cells, whole=self.whole)

    def _fill_first(
        self, costs: TokenCosts, step: int, lmbda: float, cells: NDArray[np.int64], places: NDArray[np.int64]
    ) -> None:
        where = self._tensor(cells)
        shifts, log_odds = self._context_of_all
        self._put(costs, step, lmbda, where, (shifts[where], log_odds[where]), places)

    def _fill_second(
        self, costs: TokenCosts, step: int, lmbda: float, early: NDArray[np.int64], second: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        known, where = self._tensor(early), self._tensor(second)
        symbols = on_device(costs.symbols[early], self._there.device, torch.int16)
        inputs = self._there.context.as_inputs(symbols, self._steps[known] + step)
        decoded = inputs.new_zeros((self._grid.numel(), inputs.shape[1]))
        decoded[known] = inputs
        context = self._there.context(self._grid, where, whole=True, differences=decoded)
        self._put(costs, step, lmbda, where, context, second)
        return context

    def _gathered(
        self, second: Any, first: NDArray[np.int64], early: NDArray[np.bool_], later: NDArray[np.int64]
    ) -> EntropyParameters:
        order, where, places = (
            self._tensor(array) for array in (np.argsort(~early, kind="stable").argsort(), first, later)
        )
        gathered = []
        for number, known in enumerate(self._context_of_all):
            both = known[where]
            if second is not None:
                both = torch.cat([both, second[number][places]])[order]
            gathered.append(both)
        return on_host((gathered[0], gathered[1]))

    def _put(
        self,
        costs: TokenCosts,
        step: int,
        lmbda: float,
        where: Tensor,
        context: tuple[Tensor, Tensor],
        places: NDArray[np.int64],
    ) -> None:
        symbols, bits, gain = self._there.choose(
            self.difference[where], self._grid.flatten()[where], self._steps[where] + step, *context, lmbda
        )
        if len(costs.symbols):
            costs.symbols[places] = symbols.cpu().numpy()
        costs.bits[places], costs.gain[places] = torch.stack([bits, gain]).cpu().numpy()
