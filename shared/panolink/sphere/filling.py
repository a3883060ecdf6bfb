"""Filling what a photograph of a part of the sphere does not show, smoothly, so that it costs hardly a bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from panolink.sphere.metadata import Crop

_FILL_WIDTH = 512  # the filling has no detail: it is made at this width


def place_crop(picture: NDArray[np.uint8], crop: Crop) -> NDArray[np.uint8]:
    """Put a part of the sphere where it belongs, and fill the rest with colours that go on from its borders.

    Parameters
    ----------
    picture : NDArray[np.uint8]
        uint8 (crop.height, crop.width, 3).
    crop : Crop
        Where it belongs.

    Returns
    -------
    uint8 (crop.full_height, crop.full_width, 3).
    """
    width = min(_FILL_WIDTH, crop.full_width)
    height = max(1, round(width * crop.full_height / crop.full_width))
    small = crop.scaled(width, height)
    colours = np.zeros((height, width, 3), np.float32)
    weights = np.zeros((height, width, 1), np.float32)
    inside = np.s_[small.top : small.top + small.height, small.left : small.left + small.width]
    part = Image.fromarray(picture).resize((small.width, small.height), Image.Resampling.BOX)
    colours[inside], weights[inside] = np.asarray(part), 1
    filled = np.rint(_pull_push(colours, weights)).clip(0, 255).astype(np.uint8)
    whole = np.array(Image.fromarray(filled).resize((crop.full_width, crop.full_height), Image.Resampling.BILINEAR))
    whole[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width] = picture
    return whole


def _pull_push(colours: NDArray[np.floating], weights: NDArray[np.floating]) -> NDArray[np.floating]:
    """Missing values (weight 0) from ever coarser means (Gortler et al. 1996, "The Lumigraph"); columns wrap around."""
    rows, cols = colours.shape[:2]
    if weights.all() or rows * cols == 1:
        return colours
    padded = [np.pad(values, ((0, rows % 2), (0, cols % 2), (0, 0))) for values in (colours * weights, weights)]
    sums, counts = (
        values.reshape(values.shape[0] // 2, 2, values.shape[1] // 2, 2, -1).sum((1, 3)) for values in padded
    )
    coarse = _pull_push(sums / np.maximum(counts, 1e-6), np.minimum(counts, 1))
    return colours * weights + _enlarged(coarse, rows, cols) * (1 - weights)


def _enlarged(coarse: NDArray[np.floating], rows: int, cols: int) -> NDArray[np.floating]:
    """Bilinear, twice as large, cut to (rows, cols)."""
    above, below = np.concatenate([coarse[:1], coarse[:-1]]), np.concatenate([coarse[1:], coarse[-1:]])
    tall = np.stack([0.75 * coarse + 0.25 * above, 0.75 * coarse + 0.25 * below], 1).reshape(-1, *coarse.shape[1:])
    left, right = np.roll(tall, 1, 1), np.roll(tall, -1, 1)
    wide = np.stack([0.75 * tall + 0.25 * left, 0.75 * tall + 0.25 * right], 2)
    return wide.reshape(tall.shape[0], -1, tall.shape[2])[:rows, :cols]
