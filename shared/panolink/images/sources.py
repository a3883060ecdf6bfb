"""All panoramas of files, folders, videos, pipes and live input, one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError, PanolinkError
from panolink.images.formats import IMAGE_SUFFIXES, MAX_PIXELS, SNIFFED_BYTES, VIDEO_SUFFIXES, format_of, is_video
from panolink.images.live import Piped, is_live, live_frames, public_name
from panolink.images.read import read_picture
from panolink.images.video import ALL_FRAMES, FrameSelection, PanoramaFrame, video_frames
from panolink.sphere.metadata import NOTHING_KNOWN, Projection, SphereMetadata

STREAM = "-"
"""Standard input."""
_STREAM_NAME = "standard input"
_NAMED = 3  # files that are named where some are skipped


@dataclass(frozen=True)
class Panorama:
    """A picture that can be sent.

    Attributes
    ----------
    name : where it came from; frames have a number: `walk.mp4#0001`.
    array : uint8 RGB (H, W, 3).
    data : its file as it was read; None for frames, and for pictures that were converted to equirectangular.
    sphere : pose and crop.
    notes : what the user should be told.
    captured_at, skipped : of a live source, as of `panolink.images.video.PanoramaFrame`.
    """

    name: str
    array: NDArray[np.uint8]
    data: bytes | None = None
    sphere: SphereMetadata = NOTHING_KNOWN
    notes: tuple[str, ...] = ()
    captured_at: float = 0.0
    skipped: int = 0


@dataclass(frozen=True)
class Failure:
    """A source that could not be read, and why. Those after it are still read."""

    name: str
    error: PanolinkError


@dataclass(frozen=True)
class Reading:
    """How sources are read.

    Attributes
    ----------
    recursive : folders with all folders below them.
    selection : which frames of videos and live input.
    projection : how pixels lie on the sphere.
    allow_any_aspect : take pictures that are not twice as wide as high.
    max_pixels : the largest width × height to decode.
    live : videos in their own time: what comes too late for whoever reads is skipped, and counted.
    """

    recursive: bool = False
    selection: FrameSelection = ALL_FRAMES
    projection: Projection = Projection.AUTO
    allow_any_aspect: bool = False
    max_pixels: int = MAX_PIXELS
    live: bool = False


def panoramas_in(
    sources: Iterable[str | Path],
    reading: Reading | None = None,
    *,
    on_skip: Callable[[str], None] = lambda line: None,
    stdin: BinaryIO | None = None,
) -> Iterator[Panorama | Failure]:
    """All panoramas of files, folders (sorted by name), videos (frame by frame), live input, and pipes.

    Whether a file is a picture or a video is told by its first bytes, not by its name. Each is opened once, so that it
    may be a pipe. One picture is held at a time. What cannot be used comes out as a `Failure`, and the rest goes on.

    Parameters
    ----------
    sources : paths; `-` for standard input; addresses (`rtsp://…`) and cameras (`/dev/video0`).
    reading : how they are read; None: everything, as it is.
    on_skip : called with a line about what is left out of a folder on purpose.
    stdin : where `-` reads; None: standard input.
    """
    reading = reading or Reading()
    for source in sources:
        if str(source) == STREAM:
            yield from _opened(stdin or sys.stdin.buffer, _STREAM_NAME, None, reading)
        elif isinstance(source, str) and is_live(source):
            yield from _numbered(public_name(source), live_frames(source, **_of_frames(reading)))
        else:
            for file in _files(Path(source), reading.recursive, on_skip):
                yield from _file(file, reading) if isinstance(file, Path) else (file,)


def _file(path: Path, reading: Reading) -> Iterator[Panorama | Failure]:
    name = str(path)
    try:
        with open(path, "rb") as file:
            yield from _opened(file, name, path, reading)
    except FileNotFoundError:
        yield Failure(name, ImageError(f"{name}: no such file"))
    except OSError as error:
        yield Failure(name, ImageError(f"{name}: {error.strerror or error}"))


def _opened(file: BinaryIO, name: str, path: Path | None, reading: Reading) -> Iterator[Panorama | Failure]:
    """Panoramas of an open file, of which nothing has been read."""
    head = _head(file)
    named_video = path is not None and path.suffix.lower() in VIDEO_SUFFIXES
    if is_video(head) or (named_video and not format_of(head)):
        source: Any = Piped(head, file)
        if file.seekable():
            file.seek(-len(head), os.SEEK_CUR)
            source = path or file
        yield from _numbered(name, video_frames(source, name=name, **_of_frames(reading)))
        return
    try:
        # What is no picture is not read to its end, however long it is.
        yield _picture(head + file.read() if format_of(head) else head, name, reading)
    except PanolinkError as error:
        yield Failure(name, error)


def _head(file: BinaryIO) -> bytes:
    """The first bytes; a pipe gives what it has, which may be less than is asked for."""
    head = b""
    while len(head) < SNIFFED_BYTES and (more := file.read(SNIFFED_BYTES - len(head))):
        head += more
    return head


def _picture(data: bytes, name: str, reading: Reading) -> Panorama:
    picture = read_picture(
        data,
        name=name,
        projection=reading.projection,
        allow_any_aspect=reading.allow_any_aspect,
        max_pixels=reading.max_pixels,
    )
    as_it_is = reading.projection in (Projection.AUTO, Projection.EQUIRECTANGULAR)
    return Panorama(name, picture.array, data if as_it_is else None, picture.sphere, picture.notes)


def _of_frames(reading: Reading) -> dict:
    names = ("selection", "projection", "allow_any_aspect", "max_pixels", "live")
    return {name: getattr(reading, name) for name in names}


def _numbered(name: str, frames: Iterator[PanoramaFrame]) -> Iterator[Panorama | Failure]:
    """Frames named `name#0001`, `name#0002` …; damage in the middle ends them with a `Failure`."""
    number = 0
    try:
        for number, frame in enumerate(frames, start=1):
            told = (frame.notes, frame.captured_at, frame.skipped)
            yield Panorama(f"{name}#{number:04d}", frame.array, None, frame.sphere, *told)
        if not number:
            yield Failure(name, ImageError(f"{name}: no frame in what was asked for"))
    except PanolinkError as error:
        yield Failure(name, error)


# ── folders ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _files(path: Path, recursive: bool, on_skip: Callable[[str], None]) -> Iterator[Path | Failure]:
    """The file itself, or what is in the folder: pictures and videos, sorted; what is left out is told."""
    try:
        is_folder = path.is_dir()
        found = sorted(_below(path, recursive)) if is_folder else [path]
    except OSError as error:
        yield Failure(str(path), ImageError(f"{path}: {error.strerror or error}"))
        return
    if not is_folder:
        yield path
        return
    folders = [] if recursive else [one for one in found if one.is_dir()]
    files = [one for one in found if not one.is_dir()]
    taken = [one for one in files if not one.name.startswith(".") and _is_media(one)]
    left = [one for one in files if one not in set(taken)]
    if left:
        on_skip(f"{path}: {_counted(left, 'file')} skipped: {_names(left, path)}")
    if folders:
        told = f"{_counted(folders, 'folder')} skipped (--recursive takes them): {_names(folders, path)}"
        on_skip(f"{path}: {told}")
    if not taken:
        yield Failure(str(path), ImageError(f"{path}: no images or videos in this folder"))
    yield from taken


def _below(path: Path, recursive: bool) -> Iterator[Path]:
    """Files, and folders where they are not gone into. Links to folders are not followed, for they may go round."""
    if not recursive:
        yield from path.iterdir()
        return
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in files)


def _is_media(path: Path) -> bool:
    """Whether a file in a folder is a picture or a video: by its name, or else by its content."""
    suffix = path.suffix.lower()
    if suffix in (IMAGE_SUFFIXES | VIDEO_SUFFIXES) - {".ts"}:  # which is a program's text more often than a video
        return True
    try:
        with open(path, "rb") as file:
            head = file.read(SNIFFED_BYTES) if path.is_file() else b""
    except OSError:
        return False
    return is_video(head) or format_of(head) not in ("", "PPM", "BMP")  # whose signatures are two letters


def _counted(found: list[Path], what: str) -> str:
    return f"1 {what}" if len(found) == 1 else f"{len(found)} {what}s"


def _names(found: list[Path], folder: Path) -> str:
    names = [str(one.relative_to(folder)) for one in found[:_NAMED]]
    return ", ".join(names) + (" …" if len(found) > _NAMED else "")
