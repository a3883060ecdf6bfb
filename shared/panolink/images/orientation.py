"""Pictures turned upright by the orientations of EXIF, TIFF and JPEG XL, which are numbered alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_TAG = 0x0112

TURNED = (5, 6, 7, 8)
"""Orientations that exchange width and height."""


def upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror a picture as its orientation says.

    Parameters
    ----------
    rgb : NDArray[np.uint8]
        As stored, uint8 (H, W, 3).
    orientation : int
        1 to 8, of EXIF's tag 0x0112; 1, and what is none: as it is.

    Returns
    -------
    As shown, uint8 (H, W, 3), or (W, H, 3) for those of `TURNED`; contiguous.
    """
    if orientation in TURNED:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)


def orientation_of(image: Image.Image) -> int:
    """What EXIF says of a Pillow image, 1 to 8; 1 where it says nothing, and for a TIFF once it has been decoded, for
    Pillow turns it."""
    try:
        return int(image.getexif().get(_TAG, 1))
    except Exception:  # a damaged EXIF is no reason to refuse a picture
        return 1
