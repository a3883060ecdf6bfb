"""Keeping hidden units at work: in training, what enters a residual block's activation is centred, unit by unit.

Steps of the size that kernels are trained with (`panolink.training.muon`) shift a unit's input as a whole, and below
zero, where gradients are small, it stays: blocks once ended with every unit below zero everywhere, doing nothing. As in
mean-only batch normalisation (Salimans, Kingma 2016) the batch's mean is taken off; the bias, whose gradient is zero
then, follows the mean instead, so that outside training the network is the plain one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from panolink.codec.networks.blocks import ResidualBlock

RATE = 0.02
"""by which a bias follows the means of batches"""


def centre_units(network: nn.Module) -> None:
    """Centre the hidden units of all residual blocks whose weights are being trained, from now on."""
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            assert block.first.bias is not None
            block.first.bias.requires_grad_(False)
            block.first.register_forward_hook(_centred)


def _centred(layer: nn.Module, _: Any, output: Tensor) -> Tensor | None:
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    if not (layer.training and layer.weight.requires_grad):
        return None
    mean = output.mean(dim=(0, 2, 3), keepdim=True)
    with torch.no_grad():
        shift = mean.flatten().to(torch.float32, copy=True)
        if dist.is_initialized():
            dist.all_reduce(shift)
            shift /= dist.get_world_size()
        layer.bias.sub_(RATE * shift)
    return output - mean
