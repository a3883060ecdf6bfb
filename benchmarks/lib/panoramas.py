"""Panoramas at the width that a benchmark asks for."""

from pathlib import Path

import numpy as np

from panolink.images import IMAGE_SUFFIXES, Panorama, resized


def picture_files(folder: Path, *, every: int = 1, limit: int | None = None) -> list[Path]:
    """Pictures in a folder, sorted by name: every so manyth of them, at most ``limit``."""
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES][::every][:limit]


def at_width(panorama: Panorama, width: int | None) -> np.ndarray:
    """The picture, (H, W, 3) uint8, resized to ``width`` columns and half as many rows (None: as it is)."""
    image = panorama.array
    if width is None or width == image.shape[1]:
        return image
    return resized(image, (width // 2, width))
