"""Which optimiser moves which weights of a run, and how fast."""

from __future__ import annotations

import torch

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.training.config import TrainingConfig
from panolink.training.context_rate import ContextRate
from panolink.training.muon import ConvolutionMuon, convolution_kernels

CONTEXT_RATE = 1e-3
"""learning rate of the context model that estimates bits"""


def optimizers_of(
    config: TrainingConfig, model: Autoencoder, context: ContextRate | None = None
) -> dict[str, torch.optim.Optimizer]:
    """Muon for the 3×3 kernels, Adam for everything else of the networks, and another for the context.

    Parameters
    ----------
    config : TrainingConfig
    model : Autoencoder
        Whose parameters that take no gradients are left out.
    context : ContextRate, optional
    """
    kernels = convolution_kernels(model, inner_only=config.inner_kernels_only)
    of_muon = {id(kernel) for kernel in kernels}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in of_muon]
    found: dict[str, torch.optim.Optimizer] = {
        "muon": ConvolutionMuon(kernels, lr=config.kernel_learning_rate, weight_decay=config.kernel_decay),
        "adam": torch.optim.Adam(others, lr=config.learning_rate, betas=(0.9, 0.99), fused=True),
    }
    if context is not None:
        found["context"] = torch.optim.Adam(context.parameters(), lr=CONTEXT_RATE, fused=True)
    for optimizer in found.values():
        for group in optimizer.param_groups:
            group["full_rate"] = group["lr"]
    return found


def set_rates(optimizers: dict[str, torch.optim.Optimizer], share: float) -> None:
    """Set all learning rates to a share of the configured ones.

    Parameters
    ----------
    optimizers : dict of str to Optimizer
        Of `optimizers_of`.
    share : float
        0 … 1, or more.
    """
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = share * group["full_rate"]
