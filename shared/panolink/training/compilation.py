"""Compiling networks and losses; doing without where that fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.decoder import guidance_planes
from panolink.codec.networks.execution import mixed_precision

Distortion = Callable[[Tensor, Tensor, Tensor], Tensor]


def compile_networks(
    model: Autoencoder, *others: nn.Module | None, backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Compile, in place, what a step runs; names of weights stay as they are."""
    for network in (model.encoder, model.decoder, *others):
        if network is not None:
            network.compile(backend=backend, dynamic=False)


def undo_compilation(*networks: nn.Module | None) -> None:
    """Run networks as they are written again."""
    for network in networks:
        if network is not None:
            network._compiled_call_impl = None


def compiled_losses(
    distortion: Distortion,
    perceive: nn.Module | None,
    *,
    batch: int,
    crop: int,
    backend: str | Callable[..., Any] = "inductor",
) -> Distortion:
    """Compile what a step on a CPU compares pictures by: their many passes over memory become a few.

    With SSIM and LPIPS in the loss a step takes a quarter less time. Compiling takes a minute, and a C++ compiler.

    Parameters
    ----------
    distortion : callable
        (original, picture, latitudes of the rows) → (batch,); see `panolink.training.losses.sphere_distortion`.
    perceive : Module, optional
        LPIPS, compiled in place.
    batch, crop : int
        Of a step.
    backend : str or callable
        Of `torch.compile`.

    Returns
    -------
    callable
        The distortion compiled; as it was, and ``perceive`` too, where compiling or running fails.
    """
    fast: Distortion = torch.compile(distortion, backend=backend, dynamic=False)
    pixels = torch.full((batch, 3, crop, crop), 127.0).contiguous(memory_format=torch.channels_last)
    image = (pixels + 1).requires_grad_()
    try:
        fast(pixels, image, torch.zeros(batch, crop)).mean().backward()
        if perceive is not None:
            perceive.compile(backend=backend, dynamic=False)
            with mixed_precision("cpu"):
                perceived = perceive(pixels / 255, image / 255)
            perceived.mean().backward()
        return fast
    except Exception as error:
        undo_compilation(perceive)
        print(f"losses run uncompiled: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        return distortion


def warm_up(model: Autoencoder, *others: nn.Module | None, batch: int, crop: int, trained: bool = True) -> bool:
    """Run compiled networks forwards and backwards once at a step's shapes, so that the first step does not wait.

    Weights and gradients are left as they were. ``trained`` False: the encoder runs without gradients. Returns False,
    and leaves the networks uncompiled, where compiling or running fails; ``others`` too, which were compiled with them
    and would fail later, as they run for the first time.
    """
    device = model.codebook.device
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        pixels = torch.full((batch, 3, crop, crop), 127.0, device=device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with mixed_precision(device.type):
            with torch.set_grad_enabled(trained):
                features = model.encoder(pixels)
            plane = torch.zeros_like(features[:, 0])
            image = model.decoder(features, guidance_planes(plane > 0, plane, plane))
        image.sub(pixels).square().mean().backward()
        return True
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        undo_compilation(model.encoder, model.decoder, *others)
        print(f"networks run uncompiled: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        return False
    finally:
        model.zero_grad(set_to_none=True)
        model.load_state_dict(kept)
