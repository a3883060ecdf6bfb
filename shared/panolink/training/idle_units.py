"""Units of residual blocks that are above zero nowhere: they do nothing, and a ReLU does not come back from there."""

from __future__ import annotations

import torch
from torch import Tensor

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.blocks import ResidualBlock
from panolink.training.network_hooks import after, code


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
    norms = [module.body[1] for module in model.modules() if isinstance(module, ResidualBlock)]
    with after(norms, lambda _, __, output: idle.append(output.amax(dim=(0, 2, 3)) <= 0)):
        code(model, pixels)
    return float(torch.cat(idle).float().mean()) if idle else 0.0
