"""Pictures at the width that a page has asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from panolink.images import Picture, read_picture, resized


def picture_of(path: Path, width: int | None, max_pixels: int) -> Picture:
    """A panorama, reduced to a width; `ImageError` or `LimitError` where it cannot be used."""
    return reduced(read_picture(path, name=path.name, max_pixels=max_pixels), width)


def reduced(picture: Picture, width: int | None) -> Picture:
    """A picture at a smaller width, height in proportion; itself where it is not wider."""
    rows, cols = picture.array.shape[:2]
    if width is None or cols <= width:
        return picture
    size = max(1, rows * width // cols), width
    return replace(picture, array=resized(picture.array, size), sphere=picture.sphere.scaled(size[1], size[0]))
