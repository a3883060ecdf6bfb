"""Looking into networks while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.decoder import guidance_planes
from panolink.codec.networks.execution import mixed_precision

FINEST, COARSEST = -6, 12
"""quarter octaves: pictures of a batch are decoded as if their steps had been from the one to the other"""


@contextmanager
def after(modules: Iterable[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """Call a hook with module, inputs and output after each run of some modules.

    Parameters
    ----------
    modules : iterable of Module
    hook : callable
    """
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def code(model: Autoencoder, pixels: Tensor) -> None:
    """Encode and decode pictures, for what happens inside: uncompiled, since compiled networks call no hooks.

    Parameters
    ----------
    model : Autoencoder
    pixels : (batch, 3, H, W)
        In [0, 255].
    """
    with mixed_precision(pixels.device.type):
        features = model.encoder.forward(pixels.float().contiguous(memory_format=torch.channels_last))
        rows, cols = (torch.arange(side, device=pixels.device) for side in features.shape[2:])
        kept = ((rows[:, None] + cols) % 3 > 0).to(features.dtype).expand_as(features[:, 0])  # two in three, as usual
        steps = FINEST + torch.arange(len(pixels), device=pixels.device) * ((COARSEST - FINEST) / len(pixels))
        model.decoder.forward(features, guidance_planes(kept, steps[:, None, None] * kept, 0 * kept))
