"""Batch norms as part of the convolutions before them: one pass over memory less for each."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def folded(network: Network) -> Network:
    """A copy of a network in which each batch norm behind a convolution has become part of it.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode: a batch norm is an affine map of each channel.

    Returns
    -------
    nn.Module
        It computes the same, but for rounding. The network itself, where it has no batch norms.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    network = copy.deepcopy(network)
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        layers: list[nn.Module] = []
        for layer in sequence:
            if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
                _fold(layers[-1], layer)
            else:
                layers.append(layer)
        del sequence[len(layers) :]
        for place, layer in enumerate(layers):
            sequence[place] = layer
    return network


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Make a convolution what it is with the batch norm behind it."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    offset = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        offset = offset + conv.bias * scale
    conv.weight.mul_(scale[:, None, None, None])
    conv.bias = nn.Parameter(offset, requires_grad=False)
