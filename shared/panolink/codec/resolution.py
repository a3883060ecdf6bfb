"""Reduced resolution: below some rate a smaller picture, enlarged again, looks better than a coarser one.

A packet says by how much the sides were reduced, and the receiver enlarges.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

WHOLE = Fraction(1)

FROM_BPP = {WHOLE: 0.018, Fraction(3, 2): 0.01, Fraction(2): 0.006, Fraction(3): 0.003, Fraction(4): 0.0}
"""factors by which sides may be reduced, and bits per pixel below which it was never the best for a panorama"""

FINE_ENOUGH, SMALL, LARGE = (11, 7), 1024, 2048
"""quarter octaves, at widths of what is coded: where a rate asks for a coarser step, the next smaller picture has the
smaller error on validation panoramas, or as small a one and a smaller perceptual distance; pixels of large pictures
have less in them that is new"""

SMALLEST_SIDE = 16
"""pixels, of what is coded: one token"""


def candidates(bpp: float, size: tuple[int, int]) -> list[Fraction]:
    """Reductions that may be the best at a rate, the finest first.

    Parameters
    ----------
    bpp : float
        Bits per pixel; inf: all of them.
    size : (int, int)
        Height and width of the panorama.
    """
    possible = [r for r in FROM_BPP if r == WHOLE or min(size) / r >= SMALLEST_SIDE]
    return [r for r in possible if bpp >= FROM_BPP[r]] or possible[-1:]


def fine_enough(width: int) -> int:
    """The coarsest step at which a picture is better coded as it is than smaller, quarter octaves.

    Parameters
    ----------
    width : int
        Of what is coded, pixels.
    """
    octaves = math.log2(min(max(width, SMALL), LARGE) / SMALL)
    return round(FINE_ENOUGH[0] + octaves * (FINE_ENOUGH[1] - FINE_ENOUGH[0]))


def reduced_size(size: tuple[int, int], reduction: Fraction) -> tuple[int, int]:
    """Size of a panorama whose sides are reduced: whole tokens, so that the last column meets the first.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    reduction : Fraction

    Returns
    -------
    (int, int)
        Height and width.
    """
    if reduction == WHOLE:
        return size
    return whole_tokens(size[0] / reduction), whole_tokens(size[1] / reduction)


def whole_tokens(side: Fraction) -> int:
    """The multiple of a token's side that is nearest, at least one."""
    return max(1, round(side / SMALLEST_SIDE)) * SMALLEST_SIDE


LOBES = 3
"""of the kernel"""


def reduce(image: NDArray[np.uint8], reduction: Fraction) -> NDArray[np.uint8]:
    """Make a panorama smaller, by Lanczos; columns beyond the edge are those of the other side.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    reduction : Fraction
        By how much.

    Returns
    -------
    uint8 (h, w, 3)
        Of `reduced_size`.
    """
    if reduction == WHOLE:
        return image
    source = image.shape[1]
    height, width = reduced_size(image.shape[:2], reduction)  # type: ignore[arg-type]
    margin = LOBES * source / width
    columns = np.arange(-math.ceil(margin), source + math.ceil(margin)) % source
    padded = Image.fromarray(np.ascontiguousarray(image[:, columns]))
    left = math.ceil(margin) - margin
    box = (left, 0, left + source + 2 * margin, image.shape[0])
    small = padded.resize((width + 2 * LOBES, height), Image.Resampling.LANCZOS, box=box)
    return np.ascontiguousarray(np.asarray(small)[:, LOBES : LOBES + width])


def enlarge(pixels: Tensor, size: tuple[int, int], *, rows: slice | None = None) -> Tensor:
    """Make decoded pictures as large as they were.

    Parameters
    ----------
    pixels : (batch, 3, h, w)
    size : (int, int)
        Height and width wanted.
    rows : slice, optional
        Which rows of these are wanted; None: all of them.

    Returns
    -------
    float32 (batch, 3, H, W)
        With ``rows``, those of it.
    """
    height, width = pixels.shape[-2:]
    rows, vertical = rows or slice(0, size[0]), None
    if size[0] == height:
        pixels = pixels[..., rows, :]
    else:
        places, weights = (taps[:, rows] for taps in _taps(height, size[0]))
        places = places.clamp(0, height - 1)
        above, below = int(places.min()), int(places.max()) + 1
        pixels, vertical = pixels[..., above:below, :], (places - above, weights)
    pixels = pixels.float()
    if size[1] != width:
        places, weights = _taps(width, size[1])
        pixels = _weighted(pixels, -1, places % width, weights)
    if vertical:
        pixels = _weighted(pixels, -2, *vertical)
    return pixels


def _taps(source: int, target: int) -> tuple[Tensor, Tensor]:
    """Places (taps, target) of source samples, and their weights, for each enlarged sample."""
    import torch  # a transmitter asks for sizes before it has torch

    centres = (torch.arange(target, dtype=torch.float64) + 0.5) * source / target - 0.5
    places = centres.floor().long() + torch.arange(1 - LOBES, LOBES + 1)[:, None]
    distance = centres - places
    weights = torch.sinc(distance) * torch.sinc(distance / LOBES)
    return places, (weights / weights.sum(dim=0)).float()


def _weighted(pixels: Tensor, dim: int, places: Tensor, weights: Tensor) -> Tensor:
    shape = (-1, 1) if dim == -2 else (-1,)
    import torch

    total = torch.zeros((), device=pixels.device)
    for place, weight in zip(places.to(pixels.device), weights.to(pixels.device), strict=True):
        total = total + pixels.index_select(dim, place) * weight.view(shape)
    return total
