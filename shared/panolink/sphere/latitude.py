"""Latitudes of the rows of an equirectangular grid, and the weights that follow from them.

A row at latitude φ covers cos(φ) of the area that a row at the equator covers: whatever is averaged or ranked
over a panorama (pixels or tokens) has to be weighted by it.
"""

import torch
from torch import Tensor


def latitudes(rows: int, *, device: torch.device | str | None = None) -> Tensor:
    """Latitude of the centre of each row, in radians: float32 `(rows,)`, from near +π/2 down to near −π/2."""
    centres = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    return ((0.5 - centres) * torch.pi).to(device=device, dtype=torch.float32)


def latitude_weights(rows: int, *, device: torch.device | str | None = None) -> Tensor:
    """cos(latitude) at the centre of each row: float32 `(rows,)`, in (0, 1], not normalised."""
    return torch.cos(latitudes(rows, device=device))
