"""Files that browsers send: pictures and videos, checked before anything of them goes on the link."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from panolink.errors import ImageError, LimitError
from panolink.images import VIDEO_SUFFIXES, load_panorama, resized
from panolink.images.video import video_frames
from panolink.rpc.flow_control.limits import MAX_SOURCE_LENGTH

_NAME_LENGTH = MAX_SOURCE_LENGTH - 32


@dataclass
class Upload:
    """A file in a temporary folder, which is deleted by `close`."""

    name: str
    path: Path
    folder: tempfile.TemporaryDirectory[str] = field(repr=False)

    def close(self) -> None:
        """Delete the file."""
        self.folder.cleanup()

    @property
    def is_video(self) -> bool:
        """Whether the name says so."""
        return self.path.suffix in VIDEO_SUFFIXES

    def pictures(self, width: int | None, max_pixels: int) -> Iterator[np.ndarray]:
        """The picture, or the video's frames, uint8 (H, W, 3); see `picture_of` for errors."""
        if self.is_video:
            for frame in video_frames(self.path, max_pixels=max_pixels):
                yield reduced(frame, width)
        else:
            yield picture_of(self.path, width, max_pixels, name=self.name)


async def receive(
    chunks: AsyncIterator[bytes], *, name: str, announced: int | None, max_bytes: int, max_pixels: int
) -> Upload:
    """Store an upload and check that it begins with a panorama.

    Parameters
    ----------
    announced
        Length that the browser announces in bytes; None where it does not.

    Raises
    ------
    LimitError
        Too many bytes or pixels.
    ImageError
        Neither a picture nor a video, damaged, or not 2:1.
    """
    name = clean_name(name)
    too_large = LimitError(f"{name}: more than the {max_bytes / (1 << 20):g} MiB that are allowed")
    if announced is not None and announced > max_bytes:
        raise too_large
    folder = tempfile.TemporaryDirectory(prefix="panolink-viewer-")
    try:
        upload = Upload(name, Path(folder.name, "upload" + Path(name).suffix.lower()), folder)
        size = 0
        with upload.path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise too_large
                file.write(chunk)
        if not size:
            raise ImageError(f"{name}: the file is empty")
        await _check(upload, max_pixels)
    except BaseException:
        folder.cleanup()
        raise
    return upload


async def _check(upload: Upload, max_pixels: int) -> None:
    def first() -> None:
        try:
            next(upload.pictures(None, max_pixels), None)
        except (ImageError, LimitError) as error:
            raise type(error)(str(error).replace(str(upload.path), upload.name)) from None

    await asyncio.to_thread(first)


def picture_of(path: Path, width: int | None, max_pixels: int, *, name: str = "") -> np.ndarray:
    """A panorama uint8 (H, W, 3), reduced to a width; `ImageError` or `LimitError` where it cannot be used."""
    return reduced(load_panorama(path, name=name or path.name, max_pixels=max_pixels), width)


def reduced(picture: np.ndarray, width: int | None) -> np.ndarray:
    """A picture at a smaller width, height in proportion; itself where it is not wider."""
    if width is None or picture.shape[1] <= width:
        return picture
    return resized(picture, (max(1, picture.shape[0] * width // picture.shape[1]), width))


def clean_name(name: str) -> str:
    """A file name without folders and control characters, of bounded length."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in base if c.isprintable())[-_NAME_LENGTH:] or "upload"
