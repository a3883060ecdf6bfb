"""File names for panoramas."""

import re
from pathlib import Path


def file_stem(source: str) -> str:
    """A file name, without extension, for a panorama of that name: `video.mp4#0001` → `video_0001`.

    Names may come from the network, so what could lead elsewhere is left out.
    """
    name, frame = re.fullmatch(r"(.*?)(#\d+)?", source, re.DOTALL).groups()  # type: ignore[union-attr]
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem + (frame or "").replace("#", "_"))
    return stem.strip(".")[-100:] or "panorama"
