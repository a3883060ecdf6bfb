"""Integer networks in plain torch operations, where the networks are: on a GPU. Integers, so the same ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from panolink.codec.entropy.integer_network import MAX_ACTIVATION, WEIGHT_BITS, IntegerNetwork


def on_device(array: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """An array as a tensor there. The host does not wait until it is: what CUDA is given of ordinary memory, it has
    copied before the call returns."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device=device, dtype=dtype, non_blocking=True)


class DeviceIntegerNetwork:
    """An `IntegerNetwork` on a device: sums stay below 2^24, so that a float32 product of matrices is exact.

    Parameters
    ----------
    network : IntegerNetwork
    device : torch.device
    """

    def __init__(self, network: IntegerNetwork, device: torch.device) -> None:
        self.first, self._second, self._second_bias, self._last, self._last_bias = (
            on_device(array, device, torch.float32)
            for array in (network.first, network.second, network.second_bias, network.last, network.last_bias)
        )

    def after_first(self, total: Tensor) -> Tensor:
        """Outputs int32 (n, O) from the first layer's sums int32 (n, H): see `IntegerNetwork.after_first`."""
        hidden = _activation(total)
        more = _activation((exact_product(hidden.float(), self._second) + self._second_bias).int())
        hidden = (hidden + more).clamp(max=MAX_ACTIVATION)
        return (exact_product(hidden.float(), self._last) + self._last_bias).int()


def exact_product(a: Tensor, b: Tensor) -> Tensor:
    """The product of float32 matrices of integers, without TF32 whatever the process allows elsewhere."""
    if a.device.type != "cuda":
        return a @ b
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        return a @ b
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def _activation(total: Tensor) -> Tensor:
    return ((total + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp(0, MAX_ACTIVATION)
