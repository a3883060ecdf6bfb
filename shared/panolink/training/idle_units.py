"""Units of residual blocks: kept about zero, and begun anew where they are above it nowhere, whence no ReLU returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.blocks import ResidualBlock
from panolink.codec.networks.decoder import guidance_planes
from panolink.training.frozen_batch_norm import calibrate

COARSEST = 12
"""quarter octaves: pictures of a batch are decoded as if their steps had been 0 to this"""


@torch.no_grad()
def idle_units(model: Autoencoder, pixels: Tensor) -> float:
    """Share of the residual blocks' units that are above zero nowhere on some pictures: they do nothing.

    0 for a model without such blocks. Networks can learn little and look finished while most of their units are idle.

    Parameters
    ----------
    model : Autoencoder
        Left as it is.
    pixels : (batch, 3, H, W)
        In [0, 255].
    """
    idle: list[Tensor] = []
    norms = [block.body[1] for block in _blocks(model)]
    with _after(norms, lambda _, __, output: idle.append(_nowhere_above_zero(output))):
        _code(model, pixels)
    return float(torch.cat(idle).float().mean()) if idle else 0.0


@torch.no_grad()
def revive_idle_units(model: Autoencoder, pixels: Tensor) -> int:
    """Give units that are above zero nowhere on some pictures new kernels, and what follows them no weight yet.

    What becomes of these pictures does not change: such a unit added nothing and counts for nothing now. Each is above
    zero on about half of its samples, so that gradients reach what follows it, and then its kernel.

    Parameters
    ----------
    model : Autoencoder
        Changed in place.
    pixels : (batch, 3, H, W)
        In [0, 255].

    Returns
    -------
    int
        How many were idle.
    """
    count = 0

    def revive(block: ResidualBlock, inputs: tuple[Tensor], _: Tensor) -> None:
        nonlocal count
        first, norm, second = _layers(block)
        idle = _nowhere_above_zero(norm(first(inputs[0])))
        count += int(idle.sum())
        first.weight[idle] = nn.init.kaiming_normal_(torch.empty_like(first.weight))[idle]
        norm.weight[idle], norm.bias[idle] = 1.0, 0.0
        _move(norm, first(inputs[0]), idle.float())
        second.weight[:, idle] = 0.0

    with _after(_blocks(model), revive):
        _code(model, pixels)
    return count


@torch.no_grad()
def recentre_units(model: Autoencoder, pixels: Tensor, share: float) -> None:
    """Move what residual blocks' units are normalised by towards what it is on some pictures.

    Steps that are as long however small a gradient is shift whole units, since what kernels see has a mean: in some
    hundred steps a half of them below zero everywhere. Normalised by the batch they would stay, but then a crop's
    brightness would count; this follows the mean and variance over many batches.

    Parameters
    ----------
    model : Autoencoder
        Changed in place.
    pixels : (batch, 3, H, W)
        In [0, 255].
    share : float
        Of the way, 0 … 1.
    """

    def recentre(block: ResidualBlock, inputs: tuple[Tensor], _: Tensor) -> None:
        layers = _layers(block)
        norm, hidden = layers[1], layers[0](inputs[0])
        _move(norm, hidden, torch.full((hidden.shape[1],), share, device=hidden.device))

    with _after(_blocks(model), recentre):
        _code(model, pixels)


def _layers(block: ResidualBlock) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]:
    """What makes a block's hidden units, normalises them, and takes them."""
    first, norm, second = block.body[0], block.body[1], block.body[3]
    assert isinstance(first, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and isinstance(second, nn.Conv2d)
    return first, norm, second


def _move(norm: nn.BatchNorm2d, inputs: Tensor, shares: Tensor) -> None:
    """Move running statistics towards those of inputs, by a share of the way for each channel."""
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    calibrate(norm, inputs.float())
    norm.running_mean.copy_(mean.lerp(norm.running_mean, shares))
    norm.running_var.copy_(variance.lerp(norm.running_var, shares))


def _blocks(model: Autoencoder) -> list[ResidualBlock]:
    return [module for module in model.modules() if isinstance(module, ResidualBlock)]


def _nowhere_above_zero(values: Tensor) -> Tensor:
    """bool (channels,) of values (batch, channels, rows, cols)"""
    return values.amax(dim=(0, 2, 3)) <= 0


def _code(model: Autoencoder, pixels: Tensor) -> None:
    """Encode and decode pictures, for what happens inside: compiled networks would not call hooks."""
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16):
        features = model.encoder.forward(pixels.float().contiguous(memory_format=torch.channels_last))
        kept = torch.ones_like(features[:, 0])
        steps = torch.arange(len(pixels), device=pixels.device) * (COARSEST / len(pixels))
        model.decoder.forward(features, guidance_planes(kept, steps[:, None, None] * kept, 0 * kept))


@contextmanager
def _after(modules: Sequence[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """Call a hook after each run of some modules."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
