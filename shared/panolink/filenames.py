"""File names for panoramas."""

import re
from pathlib import Path

MAX_STEM_BYTES = 160


def file_stem(source: str) -> str:
    """A file name, without extension, for a panorama of that name: `video.mp4#0001` → `video_0001`.

    Names may come from the network, so what could lead elsewhere is left out, and of long ones the end is kept: with
    what is put around it, a name stays below the 255 bytes that file systems take.
    """
    name, frame = re.fullmatch(r"(.*?)(#\d+)?", source, re.DOTALL).groups()  # type: ignore[union-attr]
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem + (frame or "").replace("#", "_"))
    end = stem.strip(".").encode()[-MAX_STEM_BYTES:].decode(errors="ignore")
    return end.strip(".") or "panorama"
