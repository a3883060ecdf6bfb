"""Muon for convolutions: momentum whose singular values are all set to one (K. Jordan, 2024).

``torch.optim.Muon`` takes matrices only; kernels of convolutions are matrices (out, in·k·k) in disguise.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def orthogonalise(matrix: Tensor, rounds: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrix, roughly, by Newton–Schulz with Jordan's quintic; (m, n) → (m, n) float32."""
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(rounds):
        square = wide @ wide.T
        polynomial = torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315)
        wide = torch.addmm(wide, polynomial, wide, beta=3.4445)
    return (wide if x.shape[0] <= x.shape[1] else wide.T).float()


class ConvolutionMuon(torch.optim.Optimizer):
    """Muon over convolution kernels (out, in, k, k); its steps have 0.2 of the root mean square of Adam's."""

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                average = state.setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"])
                update = orthogonalise(ahead.flatten(1))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-0.2 * group["lr"] * max(update.shape) ** 0.5)
