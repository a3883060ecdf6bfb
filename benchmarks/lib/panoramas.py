"""Panoramas at the width that a benchmark asks for."""

import numpy as np

from panolink.images import Panorama, resized


def at_width(panorama: Panorama, width: int | None) -> np.ndarray:
    """The picture, (H, W, 3) uint8, resized to ``width`` columns and half as many rows (None: as it is)."""
    image = panorama.array
    if width is None or width == image.shape[1]:
        return image
    return resized(image, (width // 2, width))
