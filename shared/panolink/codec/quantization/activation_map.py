"""The paper's activation map in closed form, and the direct measure of how badly quantisation hurts a token."""

from __future__ import annotations

from torch import Tensor

COMMITMENT = 0.25
"""β of formula (4)."""


def commitment_gradient(features: Tensor, codes: Tensor) -> Tensor:
    """∂L_VQ/∂F of formula (4) with Q held constant: 2β(F − Q)/N, for features (batch, dim, rows, cols).

    N counts the elements of one image: the loss is a mean over them.
    """
    return 2 * COMMITMENT * (features - codes) / features[0].numel()


def activation_map(features: Tensor, codes: Tensor) -> Tensor:
    """Formulas (5) and (6) without back-propagation: (batch, dim, rows, cols) twice → (batch, rows, cols) in [0, 1].

    The channel weights are the mean gradient over space, the map is ReLU of the weighted sum of features, scaled to a
    maximum of 1 per image (all zero where nothing is positive).
    """
    weights = commitment_gradient(features, codes).mean(dim=(2, 3), keepdim=True)
    activation = (weights * features).sum(dim=1).relu()
    return activation / activation.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)


def error_map(features: Tensor, codes: Tensor) -> Tensor:
    """The direct measure ‖F − Q‖² per token, scaled to a maximum of 1 per image."""
    error = (features - codes).square().sum(dim=1)
    return error / error.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)
