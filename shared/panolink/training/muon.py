"""Muon for convolutions: momentum whose singular values are all set to one (K. Jordan, 2024).

``torch.optim.Muon`` takes matrices only; kernels of convolutions are matrices (out, in·k·k) in disguise.
"""

# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.execution import has_bfloat16
from panolink.sphere.padding import SphereConv2d


def convolution_kernels(model: Autoencoder, *, inner_only: bool) -> list[nn.Parameter]:
    """The 3×3 kernels that are trained and that Muon is for.

    Parameters
    ----------
    model : Autoencoder
    inner_only : bool
        Without each network's first and last, between pixels or features and units: there what singular values are is
        no accident.
    """
    ends: set[int] = set()
    if inner_only:
        for network in (model.encoder, model.decoder):
            convolutions = [module for module in network.modules() if isinstance(module, SphereConv2d)]
            ends |= {id(convolutions[0].weight), id(convolutions[-1].weight)}
    trained = [p for p in model.parameters() if p.requires_grad]
    return [p for p in trained if p.ndim == 4 and p.shape[-1] == 3 and id(p) not in ends]


def orthogonalise(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly, by Newton–Schulz with Jordan's quintic.

    (…, m, n) → (…, m, n) float32; several matrices of one shape go through together, in a few large products.
    """
    x = matrices.bfloat16() if has_bfloat16(matrices.device.type) else matrices.float()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    wide = x if x.shape[-2] <= x.shape[-1] else x.mT
    multiply_add = torch.addmm if wide.ndim == 2 else torch.baddbmm
    for _ in range(rounds):
        square = wide @ wide.mT
        polynomial = multiply_add(square, square, square, beta=-4.7750, alpha=2.0315)
        wide = multiply_add(wide, polynomial, wide, beta=3.4445)
    return (wide if x.shape[-2] <= x.shape[-1] else wide.mT).float()


class ConvolutionMuon(torch.optim.Optimizer):
    """Muon over convolution kernels (out, in, k, k); its steps have 0.2 of the root mean square of Adam's.

    Kernels of one shape are stepped together.
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not moved:
                continue
            gradients = [parameter.grad for parameter in moved]
            averages = [self._average(parameter) for parameter in moved]
            torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(gradients, averages, group["momentum"])
            torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
            by_shape: dict[torch.Size, list[int]] = {}
            for index, parameter in enumerate(moved):
                by_shape.setdefault(parameter.shape, []).append(index)
            for shape, indices in by_shape.items():
                matrices = torch.stack([ahead[i].flatten(1) for i in indices])
                size = -0.2 * group["lr"] * max(matrices.shape[1:]) ** 0.5
                updates = orthogonalise(matrices).view(-1, *shape)
                torch._foreach_add_([moved[i] for i in indices], list(updates.unbind(0)), alpha=size)

    def _average(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "average" not in state:
            state["average"] = torch.zeros_like(parameter)
        return state["average"]
