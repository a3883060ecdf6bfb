"""Latitudes of the rows of an equirectangular grid, and the weights that follow from them.

A row at latitude φ covers cos(φ) of the area that a row at the equator covers: whatever is averaged or ranked
over a panorama (pixels or tokens) has to be weighted by it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.sphere.focus import Focus, focus_steps


def latitudes(rows: int, *, device: torch.device | str | None = None) -> Tensor:
    """Latitude of the centre of each row.

    Parameters
    ----------
    rows : int
    device : optional
        Of the result.

    Returns
    -------
    float32 (rows,)
        Radians, from near +π/2 down to near −π/2.
    """
    centres = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    return ((0.5 - centres) * torch.pi).to(device=device, dtype=torch.float32)


def latitude_weights(rows: int, *, device: torch.device | str | None = None) -> Tensor:
    """Area weight of each row, cos(latitude) at its centre; parameters as of `latitudes`.

    Returns
    -------
    float32 (rows,)
        In (0, 1], not normalised: they sum to about rows · 2/π.
    """
    return torch.cos(latitudes(rows, device=device))


def token_weights(rows: int, cols: int, foci: tuple[Focus, ...] = ()) -> NDArray[np.float32]:
    """What errors of each token's pixels count for: their area on the sphere, and less outside of a focus; parameters
    as of `panolink.sphere.focus.focus_steps`.

    Returns
    -------
    float32 (rows, cols)
        In (0, 1]. Where steps are coarser by two quarter octaves, squared errors are twice as large and count for half.
    """
    area = latitude_weights(rows).numpy()[:, None]
    return (area * np.exp2(-focus_steps(rows, cols, foci) / 2)).astype(np.float32)
