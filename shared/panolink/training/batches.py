"""Where batches of crops come from: processes that cut them, or the device itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import torch
from torch import Tensor

from panolink.cpu import usable_cores
from panolink.training.config import TrainingConfig
from panolink.training.data import CropStream, PanoramaCache
from panolink.training.device_crops import DeviceCrops, DevicePanoramas, compile_sampler

Batch = tuple[Tensor, Tensor, Tensor]
"""pixels (batch, 3, size, size) uint8, latitude (batch, size), weight (batch,)"""


def crop_stream(config: TrainingConfig, cache: PanoramaCache, *, rank: int = 0, first: int = 0) -> CropStream:
    """The training panoramas' crops.

    Parameters
    ----------
    config : TrainingConfig
        Its crop, batch, scales, native share and seed.
    cache : PanoramaCache
    rank : int
        Of this process; each has crops of its own.
    first : int
        The step to begin with.
    """
    return CropStream(
        cache,
        cache.split()[0],
        size=config.crop,
        batch=config.batch,
        scales=config.scales,
        native_share=config.native_share,
        seed=(config.seed, rank),
        first=first,
    )


def batches(
    config: TrainingConfig,
    cache: PanoramaCache,
    device: torch.device,
    *,
    panoramas: DevicePanoramas | None = None,
    rank: int = 0,
    first: int = 0,
) -> Iterator[Batch]:
    """Endless batches, the same whether a run was stopped in between or not.

    Parameters
    ----------
    config : TrainingConfig
    cache : PanoramaCache
    device : torch.device
        Where the training runs.
    panoramas : DevicePanoramas, optional
        Cut crops on the device, of these; None: processes cut them.
    rank : int
        Of this process; each has crops of its own.
    first : int
        The step to begin with.
    """
    if panoramas is not None:
        crops = DeviceCrops(
            panoramas,
            size=config.crop,
            batch=config.batch,
            scales=config.scales,
            native_share=config.native_share,
            seed=(config.seed, rank),
            first=first,
        )
        if device.type == "cuda":
            compile_sampler(crops)
        return iter(crops)
    cuda = device.type == "cuda"
    loader = torch.utils.data.DataLoader(
        crop_stream(config, cache, rank=rank, first=first),
        batch_size=None,
        num_workers=loading_processes() if cuda else 1,
        prefetch_factor=PREFETCHED,
        pin_memory=cuda,
        worker_init_fn=ignore_terminate,
        generator=torch.Generator(),  # else each start would take a number from the training's own
    )
    return iter(loader)


PREFETCHED = 4
"""batches that each loading process holds ready"""


def loading_processes() -> int:
    """Processes that cut crops, some 270 a second each, for a GPU that takes thousands."""
    return max(1, min(usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 2, 16))


def ignore_terminate(worker: int) -> None:
    """SIGTERM or Ctrl-C to the group asks the trainer to save and stop; its loader must live until then."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
