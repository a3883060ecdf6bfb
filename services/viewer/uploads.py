"""Files that browsers send: pictures and videos, checked before anything of them goes on the link.

What is in them is read in a process of its own (`upload_worker`), with a limit of time and memory for each picture.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from panolink.errors import ImageError, LimitError
from panolink.images import Picture
from panolink.images.formats import MOTION_JPEG_SUFFIXES, SNIFFED_BYTES, format_of
from panolink.rpc.flow_control.limits import MAX_SOURCE_LENGTH
from panolink.rpc.server.worker_process import WorkerProcess
from panolink.services.viewer.settings import ViewerSettings
from panolink.sphere.metadata import SphereMetadata

STALL_SECONDS = 60.0
"""without a byte of an upload, after which it is given up"""

LEAST_BYTES_PER_SECOND = 8192.0
"""of an upload, on the mean since it began, after `STALL_SECONDS`"""

_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_NAME_LENGTH = MAX_SOURCE_LENGTH - 32
_MODULE = "panolink.services.viewer.upload_worker"


class TooSlowError(LimitError):
    """A request whose bytes come too slowly, or not at all."""


@dataclass
class Upload:
    """A file in a temporary folder, which is deleted by `close`.

    Attributes
    ----------
    fps
        Frames a second of a video, known with its first picture; None where it does not say.
    """

    name: str
    path: Path
    folder: tempfile.TemporaryDirectory[str] = field(repr=False)
    settings: ViewerSettings = field(repr=False)
    fps: float | None = field(default=None, init=False)
    _readers: list[WorkerProcess] = field(default_factory=list, init=False, repr=False)

    def close(self) -> None:
        """Delete the file, and end whatever still reads it."""
        while self._readers:
            self._readers.pop().kill()
        self.folder.cleanup()

    @property
    def is_video(self) -> bool:
        """Whether it is a video, if it is anything that `pictures` can read."""
        with self.path.open("rb") as file:
            found = format_of(file.read(SNIFFED_BYTES))
        return not found or (found == "JPEG" and self.path.suffix in MOTION_JPEG_SUFFIXES)

    def pictures(self, width: int | None, *, fps: float | None = None) -> Iterator[Picture]:
        """The picture, or the video's frames, at most ``fps`` a second, reduced to a width.

        Raises
        ------
        ImageError
            Neither a picture nor a video, damaged, not 2:1, or something that ended the process that read it.
        LimitError
            More pixels, JPEG scans, time or memory than allowed.
        """
        reader = WorkerProcess(_MODULE, self.settings.decode_memory_bytes)
        self._readers.append(reader)
        limits = {"max_pixels": self.settings.max_image_pixels}
        request = {"name": self.name, "path": str(self.path), "width": width, "fps": fps, **limits}
        try:
            while True:
                answer, array = reader.ask(request, b"", name=self.name, seconds=self.settings.decode_seconds)
                if answer.get("end"):
                    return
                self.fps = answer.get("fps", self.fps)
                height, cols = array.shape[:2]
                sphere = SphereMetadata.from_bytes(bytes.fromhex(answer["sphere"]), width=cols, height=height)
                yield Picture(array, sphere)
                request = {"name": self.name}
        finally:
            reader.kill()
            if reader in self._readers:  # `close` has taken it out otherwise
                self._readers.remove(reader)


async def receive(
    chunks: AsyncIterator[bytes],
    *,
    name: str,
    announced: int | None,
    settings: ViewerSettings,
    turn: asyncio.Lock | None = None,
) -> Upload:
    """Store an upload and check that it begins with a panorama.

    Parameters
    ----------
    announced
        Length that the browser announces in bytes; None where it does not.
    turn
        Held while the file is looked into: one at a time takes the memory that decoding may take.

    Raises
    ------
    LimitError
        Too many bytes or pixels, bytes that come too slowly (`TooSlowError`), or what `Upload.pictures` limits.
    ImageError
        Neither a picture nor a video, damaged, or not 2:1.
    OSError
        There is no room for it.
    """
    name, max_bytes = clean_name(name), settings.max_upload_bytes
    too_large = LimitError(f"{name}: more than the {max_bytes / (1 << 20):g} MiB that are allowed")
    if announced is not None and announced > max_bytes:
        raise too_large
    folder = tempfile.TemporaryDirectory(prefix="panolink-viewer-")
    suffix = Path(name).suffix.lower()  # only known ones matter
    file_name = "upload" + (suffix if _SUFFIX.fullmatch(suffix) else "")
    upload = Upload(name, Path(folder.name, file_name), folder, settings)
    try:
        size = 0
        with upload.path.open("wb") as file:
            async for chunk in paced(chunks, name):
                size += len(chunk)
                if size > max_bytes:
                    raise too_large
                file.write(chunk)
        if not size:
            raise ImageError(f"{name}: the file is empty")
        async with turn or asyncio.Lock():
            await asyncio.to_thread(_first, upload)
    except BaseException:
        upload.close()
        raise
    return upload


async def paced(chunks: AsyncIterator[bytes], what: str) -> AsyncIterator[bytes]:
    """The parts of a request's body; `TooSlowError` where they are not worth waiting for."""
    began, size, source = time.monotonic(), 0, aiter(chunks)
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                chunk = await anext(source, None)
        except TimeoutError:
            raise TooSlowError(f"{what}: nothing came for {STALL_SECONDS:g} s") from None
        if chunk is None:
            return
        size += len(chunk)
        seconds = time.monotonic() - began
        if seconds > STALL_SECONDS and size < LEAST_BYTES_PER_SECOND * seconds:
            raise TooSlowError(f"{what}: comes more slowly than {LEAST_BYTES_PER_SECOND / 1024:g} KiB a second")
        yield chunk


def _first(upload: Upload) -> None:
    """Read the first picture, and no more of them."""
    pictures = upload.pictures(None)
    try:
        next(pictures, None)
    finally:
        pictures.close()  # type: ignore[attr-defined]


def clean_name(name: str) -> str:
    """A file name without folders and control characters, of bounded length."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in base if c.isprintable())[-_NAME_LENGTH:] or "upload"
