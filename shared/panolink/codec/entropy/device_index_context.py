"""The index context model in plain torch operations, where the networks are: on a GPU. The same probabilities, to the
bit: integers, and products of double precision that are rounded once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.entropy.device_network import DeviceIntegerNetwork, on_device
from panolink.codec.entropy.index_context import (
    LEVEL_SHIFT,
    SLOTS,
    TOTAL,
    WEIGHTS,
    IndexContextModel,
    slots_of,
)
from panolink.codec.entropy.range_coder import WHOLE


class DeviceIndexContext:
    """An `IndexContextModel` on a device; its methods take and give the same arrays.

    Parameters
    ----------
    model : IndexContextModel
    device : torch.device
    """

    def __init__(self, model: IndexContextModel, device: torch.device) -> None:
        self._device, self._codes = device, model.codes
        self._network = DeviceIntegerNetwork(model.network, device)
        self._bands = on_device(model.bands, device, torch.int32)
        self._look_up = on_device(model.network.look_up_table(model.embedding, SLOTS), device, torch.int32)
        self._weights = on_device(WEIGHTS, device, torch.int32)

    def frequencies(self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64]) -> NDArray[np.uint16]:
        """See `IndexContextModel.frequencies`."""
        shares = self._shares(number, neighbours, bands).to(torch.int16)  # the lower 16 bits: half as much to copy
        return shares.cpu().numpy().view(np.uint16)

    def intervals(
        self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64], indices: NDArray[np.integer]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """See `IndexContextModel.intervals`."""
        shares = self._shares(number, neighbours, bands)
        own = on_device(indices, self._device, torch.int64)
        through = shares.cumsum(dim=1).gather(1, own[:, None])[:, 0]
        start = self._scaled_start(through - shares.gather(1, own[:, None])[:, 0], own)
        end = self._scaled_start(through, own + 1)
        starts, widths = torch.stack([start, end - start]).cpu().numpy().astype(np.uint32)
        return starts, widths

    def _shares(self, number: int, neighbours: NDArray[np.integer], bands: NDArray[np.int64]) -> Tensor:
        """Shares of TOTAL of all codes, int32 (n, K)."""
        codes = on_device(neighbours, self._device, torch.int64)
        total = self._bands[number][on_device(bands, self._device, torch.int64)]
        for place, table in enumerate(self._look_up[slots_of(number, 1)]):
            total = total + table[codes[:, place]]
        logits = self._network.after_first(total)
        best = logits.argmax(dim=1, keepdim=True)  # the first of them
        level = (logits.gather(1, best) - logits) >> LEVEL_SHIFT
        weights = self._weights[level.clamp(max=len(self._weights) - 1).long()]
        unit = quotients(TOTAL - self._codes, weights.sum(dim=1, keepdim=True))
        shares = (weights.double() * unit).int() + 1
        left = TOTAL - shares.sum(dim=1, keepdim=True)
        return shares.scatter_add(1, best, left.int())

    def _scaled_start(self, below: Tensor, index: Tensor) -> Tensor:
        """See `panolink.codec.entropy.index_context.scaled_start`."""
        scale = float(np.float32((WHOLE - self._codes) / TOTAL))
        start = (below.float() * scale).long() + index
        return torch.where(index == self._codes, WHOLE, start)


def quotients(number: int, total: Tensor) -> Tensor:
    """``number`` by each of ``total``, float64, rounded once as the kernels do it.

    A plain number by a tensor is a product with the tensor's inverse to torch, and rounded twice: now and then another
    share, after which nothing more would decode on the other kind of device.
    """
    return torch.full_like(total, number, dtype=torch.float64) / total.double()
