"""One process or several (``torchrun``): what they share, and what one has spent."""

from __future__ import annotations

import time

import torch
import torch.distributed as dist


def cpu_hours() -> float:
    """Processor time of this process, all threads."""
    return time.process_time() / 3600


def of_first(value: float, device: torch.device) -> float:
    """The first process's value, for all: clocks differ, and all must take the same steps and stop together.

    Parameters
    ----------
    value : float
        This process's.
    device : torch.device
        That the processes talk by.
    """
    if not dist.is_initialized():
        return value
    shared = torch.tensor([value], device=device)
    dist.broadcast(shared, 0)
    return float(shared)


def average_gradients(module: torch.nn.Module) -> None:
    """Mean of the gradients over all processes; nothing to do for one."""
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(averaged.view_as(gradient))
