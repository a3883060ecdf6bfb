"""Small pictures and videos, made where they are needed."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
CASES = Path(__file__).parent.parent / "cases"
"""What people sent in: see the README there."""


def encoded(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def many_scans(array: np.ndarray, times: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times: each is decoded anew."""
    data = encoded(array, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * times + data[-2:]


def write_video(
    path: Path,
    *,
    width: int = 64,
    height: int = 32,
    frames: int = 3,
    codec: str = "mpeg4",
    format: str | None = None,
    pixels: str = "yuv420p",
    picture: Callable[[int], np.ndarray] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
) -> None:
    """Grey frames, 0, 60, 120 …, or those of `picture`, at 5 a second."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        prepare(stream)
        for i in range(frames):
            array = picture(i) if picture else np.full((height, width, 3), 60 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(array, format="rgb24" if array.dtype == np.uint8 else "rgb48le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
