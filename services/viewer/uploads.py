"""Files that browsers send: pictures and videos, checked before anything of them goes on the link."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from panolink.errors import ImageError, LimitError
from panolink.images import Failure, Picture, Reading, panoramas_in, read_picture, resized
from panolink.images.formats import SNIFFED_BYTES, format_of
from panolink.images.video import FrameSelection
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
        """Whether it is a video, if it is anything that `pictures` can read."""
        with self.path.open("rb") as file:
            return not format_of(file.read(SNIFFED_BYTES))

    def pictures(self, width: int | None, max_pixels: int, *, fps: float | None = None) -> Iterator[Picture]:
        """The picture, or the video's frames, at most ``fps`` a second; see `picture_of` for errors."""
        for item in panoramas_in([self.path], Reading(selection=FrameSelection(fps=fps), max_pixels=max_pixels)):
            if isinstance(item, Failure):
                raise type(item.error)(str(item.error).replace(str(self.path), self.name))
            yield reduced(Picture(item.array, item.sphere), width)


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
    await asyncio.to_thread(next, upload.pictures(None, max_pixels), None)


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


def clean_name(name: str) -> str:
    """A file name without folders and control characters, of bounded length."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in base if c.isprintable())[-_NAME_LENGTH:] or "upload"
