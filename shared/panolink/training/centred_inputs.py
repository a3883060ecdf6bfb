"""Kernels that learn as if their inputs had no mean.

What a kernel sees has a mean, and the largest part of its gradient is often a shift of whole units along it. Muon sets
all singular values of a step to one, so that such a shift, harmless where steps follow gradients, moves units by their
deviation every twenty steps. Adam, whose steps are as long in every direction, does the same to the kernels that see
pixels or features: all taps of a unit move together, a few hundred steps move a unit by ten deviations, and all units
behind it from where a ReLU bends them.

In W·x + b = W·(x − m) + (b + W·m) the two terms learn apart: the gradient by W at a given b + W·m is that of inputs
without their mean m, and what a step of W shifts is taken from b. Where a batch norm follows, b is its running mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.training.network_hooks import after, code

LOOK_EVERY, MOVED = 25, 0.05
"""steps between looks at the means of inputs, and the share of the way to them that each goes, the first ones more: a
few crops differ in brightness by more than the mean over all does in a thousand steps"""


class CentredInputs(nn.Module):
    """The convolutions of a model's bodies whose kernels are trained, and the means of their inputs.

    Parameters
    ----------
    model : Autoencoder
        It is no part of this module's state.
    """

    looks: Tensor
    """() int64: at means so far"""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self._layers = [pair for pair in _with_norms(model) if pair[0].weight.requires_grad]
        self.register_buffer("looks", torch.zeros((), dtype=torch.int64))
        for number, (convolution, _) in enumerate(self._layers):
            self.register_buffer(f"mean{number}", torch.zeros(convolution.in_channels))

    @torch.no_grad()
    def look(self, model: Autoencoder, pixels: Tensor) -> None:
        """Move the means towards those on a batch; the first ones are averaged.

        Parameters
        ----------
        model : Autoencoder
        pixels : (batch, 3, H, W)
            In [0, 255].
        """
        share = (1 / (self.looks + 1)).clamp_min(MOVED)
        numbers = {convolution: number for number, (convolution, _) in enumerate(self._layers)}

        def watch(convolution: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
            mean = inputs[0].float().mean(dim=(0, 2, 3))
            if dist.is_initialized():
                dist.all_reduce(mean)
                mean /= dist.get_world_size()
            known = self._mean(numbers[convolution])  # type: ignore[index]
            known.lerp_(mean, share)

        with after(numbers, watch):
            code(model, pixels)
        self.looks += 1

    @torch.no_grad()
    def centre_gradients(self) -> None:
        """Take from each kernel's gradient what a shift of its output would do as well."""
        for number, (convolution, norm) in enumerate(self._layers):
            if convolution.weight.grad is None:
                continue
            if norm is None:
                slope = convolution.bias.grad  # type: ignore[union-attr]
            else:
                slope = norm.bias.grad * norm.weight / (norm.running_var + norm.eps).sqrt()  # type: ignore[operator]
            convolution.weight.grad -= torch.outer(slope, self._mean(number))[:, :, None, None]  # type: ignore[arg-type]

    @contextmanager
    def no_shift(self) -> Iterator[None]:
        """A step inside leaves the means of the convolutions' outputs where they were."""
        before = self._shifts()
        yield
        with torch.no_grad():
            for (convolution, norm), was, now in zip(self._layers, before, self._shifts(), strict=True):
                if norm is None:
                    convolution.bias -= now - was  # type: ignore[operator]
                else:
                    norm.running_mean += now - was  # type: ignore[operator]

    @torch.no_grad()
    def _shifts(self) -> list[Tensor]:
        """What the inputs' means make of the outputs', of each convolution."""
        return [
            convolution.weight.sum(dim=(2, 3)) @ self._mean(number)
            for number, (convolution, _) in enumerate(self._layers)
        ]

    def _mean(self, number: int) -> Tensor:
        return self.get_buffer(f"mean{number}")


def _with_norms(model: Autoencoder) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """The convolutions of a model, each with the batch norm that follows it."""
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d | None]] = []
    for sequence in (module for module in model.modules() if isinstance(module, nn.Sequential)):
        for layer, following in itertools.pairwise([*sequence, None]):
            if isinstance(layer, nn.Conv2d):
                found.append((layer, following if isinstance(following, nn.BatchNorm2d) else None))
    return found
