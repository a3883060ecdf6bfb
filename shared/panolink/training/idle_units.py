"""Units of residual blocks that are above zero nowhere: they do nothing, and a ReLU does not come back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.blocks import ResidualBlock
from panolink.training.network_hooks import after, code

PATIENCE = 40
"""looks in a row at which a unit may be idle: some pictures need what others do not"""

LIFT, ABOVE = 0.1, 0.1
"""share of the way that an idle unit is lifted at each look, and where to: so far above zero"""


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
    with after(_norms(model), lambda _, __, output: idle.append(_peaks(output) <= 0)):
        code(model, pixels)
    return float(torch.cat(idle).float().mean()) if idle else 0.0


class IdleUnits(nn.Module):
    """Units that have long been idle, and are lifted a little until gradients reach them again.

    A lift ends where a unit is above zero on some sample of a batch: pictures change by little, and what is to become
    of the unit is left to its gradient.

    Parameters
    ----------
    model : Autoencoder
        It is no part of this module's state. What is not trained is not lifted.
    """

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self._watched = [norm for norm in _norms(model) if norm.bias.requires_grad]
        for number, norm in enumerate(self._watched):
            self.register_buffer(f"looks{number}", torch.zeros(norm.num_features, dtype=torch.int64))
            self.register_buffer(f"peak{number}", torch.zeros(norm.num_features))

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Look at units while networks run inside, and lift those that were idle at the last `PATIENCE` looks, too."""
        seen: dict[nn.Module, Tensor] = {}
        with after(self._watched, lambda norm, _, output: seen.update({norm: _peaks(output).float()})):
            yield
        for number, norm in enumerate(self._watched):
            now, looks, peak = seen[norm], self.get_buffer(f"looks{number}"), self.get_buffer(f"peak{number}")
            if dist.is_initialized():
                dist.all_reduce(now, dist.ReduceOp.MAX)
            peak.copy_(torch.where(looks > 0, torch.maximum(peak, now), now))  # the most since the unit is idle
            looks.copy_(torch.where(now <= 0, looks + 1, 0))
            lift = torch.where(looks > PATIENCE, LIFT * (ABOVE - peak), 0)
            with torch.no_grad():
                norm.bias.add_(lift)
            peak += lift


def _norms(model: Autoencoder) -> list[nn.BatchNorm2d]:
    """Those before the ReLUs of a model's residual blocks."""
    first = [module.body[1] for module in model.modules() if isinstance(module, ResidualBlock)]
    return [norm for norm in first if isinstance(norm, nn.BatchNorm2d)]


def _peaks(values: Tensor) -> Tensor:
    """(channels,): the most that each is anywhere, of values (batch, channels, rows, cols)."""
    return values.amax(dim=(0, 2, 3))
