"""All panoramas of files, folders, videos, pipes and live input, one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError, PanolinkError
from panolink.images.formats import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    MOTION_JPEG_SUFFIXES,
    SNIFFED_BYTES,
    VIDEO_SUFFIXES,
    format_of,
    is_video,
)
from panolink.images.live import SCHEMES, Piped, is_live, live_frames, public_name
from panolink.images.read import read_picture
from panolink.images.video import ALL_FRAMES, FrameSelection, PanoramaFrame, video_frames
from panolink.sphere.metadata import LENS_DEGREES, NOTHING_KNOWN, Projection, SphereMetadata

STREAM = "-"
"""Standard input."""
_STREAM_NAME = "standard input"
_NAMED = 3  # files that are named where some are skipped


@dataclass(frozen=True)
class Panorama:
    """A picture that can be sent.

    Attributes
    ----------
    name : str
        Where it came from; frames have a number: `walk.mp4#0001`.
    array : NDArray[np.uint8]
        uint8 RGB (H, W, 3).
    data : bytes | None
        Its file as it was read; None for frames, and for pictures that were converted to equirectangular.
    sphere : SphereMetadata
        Pose and crop.
    notes : tuple[str, ...]
        What the user should be told.
    captured_at, skipped
        Of a live source, as of `panolink.images.video.PanoramaFrame`.
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
    recursive : bool
        Folders with all folders below them.
    selection : FrameSelection
        Which frames of videos and live input.
    projection : Projection
        How pixels lie on the sphere.
    lens_degrees : float
        Field of view of each lens of a double fisheye.
    allow_any_aspect : bool
        Take pictures that are not twice as wide as high.
    max_pixels : int
        The largest width × height to decode.
    live : bool
        Videos in their own time: what comes too late for whoever reads is skipped, and counted.
    """

    recursive: bool = False
    selection: FrameSelection = ALL_FRAMES
    projection: Projection = Projection.AUTO
    lens_degrees: float = LENS_DEGREES
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
    sources : Iterable[str | Path]
        Paths, or `file://…`; `-` for standard input; addresses (`rtsp://…`) and cameras (`/dev/video0`).
    reading : Reading | None
        How they are read; None: everything, as it is.
    on_skip : Callable[[str], None]
        Called with a line about what is left out of a folder on purpose.
    stdin : BinaryIO | None
        Where `-` reads; None: standard input.
    """
    reading = reading or Reading()
    for source in sources:
        if str(source) == STREAM:
            yield from _opened(stdin or _standard_input(), _STREAM_NAME, None, reading)
        elif isinstance(source, str) and is_live(source):
            yield from _numbered(public_name(source), live_frames(source, **_of_frames(reading)), reading)
        elif isinstance(source, str) and "://" in source and not os.path.lexists(source):
            yield from _by_address(source, reading)
        else:
            for file in _files(Path(source), reading.recursive, on_skip):
                yield from _file(file, reading) if isinstance(file, Path) else (file,)


def _by_address(source: str, reading: Reading) -> Iterator[Panorama | Failure]:
    """A file that is named by an address, as browsers and desktops do; any other address cannot be read."""
    parts = urlsplit(source)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        yield from _file(Path(url2pathname(parts.path)), reading)
        return
    taken = ", ".join(f"{scheme}://" for scheme in (*SCHEMES, "file"))
    name = public_name(source)
    yield Failure(name, ImageError(f"{name}: no file, and no address that can be read; such begin with {taken}"))


def _file(path: Path, reading: Reading) -> Iterator[Panorama | Failure]:
    name = str(path)
    try:
        with open(path, "rb") as file:
            yield from _opened(file, name, path, reading)
    except FileNotFoundError:
        yield Failure(name, ImageError(f"{name}: no such file"))
    except (OSError, ValueError) as error:  # such as a name with a zero byte
        yield Failure(name, ImageError(f"{name}: {getattr(error, 'strerror', None) or error}"))


def _opened(file: BinaryIO, name: str, path: Path | None, reading: Reading) -> Iterator[Panorama | Failure]:
    """Panoramas of an open file, of which nothing has been read."""
    head = _head(file)
    suffix = path.suffix.lower() if path else ""
    # Motion JPEG is one JPEG picture after the other: only its name tells it from the first of them.
    by_name = suffix in VIDEO_SUFFIXES and not format_of(head)
    if is_video(head) or by_name or (suffix in MOTION_JPEG_SUFFIXES and format_of(head) == "JPEG"):
        source: Any = Piped(head, file)
        if file.seekable():
            file.seek(-len(head), os.SEEK_CUR)
            source = path or file
        found = _numbered(name, video_frames(source, name=name, **_of_frames(reading)), reading)
        advised = isinstance(source, Piped) and head[4:8] == b"ftyp"
        yield from _with_advice(found) if advised else found
        return
    try:
        # What is no picture is not read to its end, however long it is.
        yield _picture(head + file.read() if format_of(head) else head, name, reading)
    except PanolinkError as error:
        yield Failure(name, error)


def _with_advice(found: Iterator[Panorama | Failure]) -> Iterator[Panorama | Failure]:
    """An MP4 from a pipe: where it gives no frame at all, most likely its index stands at its end."""
    for number, one in enumerate(found):
        if isinstance(one, Failure) and not number:
            message = (
                f"{one.error}: an MP4 whose index stands at its end cannot come through a pipe; give the file, or put "
                "the index first with ffmpeg -i FILE -c copy -movflags +faststart OUT.mp4"
            )
            one = Failure(one.name, ImageError(message))
        yield one


def _standard_input() -> BinaryIO:
    """Without a buffer: a thread that waits in a buffered read holds its lock, and Python cannot end then."""
    try:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)  # type: ignore[return-value]
    except (OSError, ValueError):  # no file of the system's, as in tests
        return sys.stdin.buffer


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
        lens_degrees=reading.lens_degrees,
        allow_any_aspect=reading.allow_any_aspect,
        max_pixels=reading.max_pixels,
    )
    as_it_is = reading.projection in (Projection.AUTO, Projection.EQUIRECTANGULAR)
    return Panorama(name, picture.array, data if as_it_is else None, picture.sphere, picture.notes)


def _of_frames(reading: Reading) -> dict:
    names = ("selection", "projection", "lens_degrees", "allow_any_aspect", "max_pixels", "live")
    return {name: getattr(reading, name) for name in names}


def _numbered(name: str, frames: Iterator[PanoramaFrame], reading: Reading) -> Iterator[Panorama | Failure]:
    """Frames named `name#0001`, `name#0002` …; damage in the middle ends them with a `Failure`."""
    number = 0
    try:
        for number, frame in enumerate(frames, start=1):
            live = (frame.notes, frame.captured_at, frame.skipped)
            yield Panorama(f"{name}#{number:04d}", frame.array, None, frame.sphere, *live)
        if not number:
            nothing = "that can be decoded" if reading.selection == ALL_FRAMES else "in what was asked for"
            yield Failure(name, ImageError(f"{name}: no frame {nothing}"))
    except PanolinkError as error:
        yield Failure(name, error)


# ── folders ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _files(path: Path, recursive: bool, on_skip: Callable[[str], None]) -> Iterator[Path | Failure]:
    """The file itself, or what is in the folder: pictures and videos, sorted; what is left out is told."""
    if not os.path.isdir(path):
        yield path
        return
    files, folders, unreadable = _below(path, recursive)
    taken = [one for one in files if not one.name.startswith(".") and _is_media(one)]
    among = set(taken)
    left = [one for one in files if one not in among]
    if left:
        on_skip(f"{path}: {_counted(left, 'file')} skipped: {_names(left, path)}")
    if folders:
        why = "hidden, or links" if recursive else "--recursive takes them"
        on_skip(f"{path}: {_counted(folders, 'folder')} skipped ({why}): {_names(folders, path)}")
    for error in unreadable:
        yield Failure(str(error.filename), ImageError(f"{error.filename}: {error.strerror}"))
    if not (taken or unreadable):
        yield Failure(str(path), ImageError(f"{path}: no images or videos in this folder"))
    yield from taken


def _below(path: Path, recursive: bool) -> tuple[list[Path], list[Path], list[OSError]]:
    """Files; folders that are not gone into; and why others cannot be. Sorted by name.

    Links to folders are not followed, for they may go round.
    """
    found: list[Path] = []
    left: list[Path] = []
    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=unreadable.append):
        found += (Path(folder, name) for name in files)
        skipped = [one for one in folders if not recursive or one.startswith(".") or os.path.islink(f"{folder}/{one}")]
        left += (Path(folder, name) for name in skipped)
        among = set(skipped)
        folders[:] = [one for one in folders if one not in among]
    return sorted(found), sorted(left), unreadable


def _is_media(path: Path) -> bool:
    """Whether a file in a folder is a picture or a video: by its name, or else by its content."""
    if path.exists() and not path.is_file():
        return False  # pipes and devices: whoever opens one may wait for ever
    suffix = path.suffix.lower()
    if suffix in (IMAGE_SUFFIXES | VIDEO_SUFFIXES) - {".ts"}:  # which is a program's text more often than a video
        return True
    try:
        with open(path, "rb") as file:
            head = file.read(SNIFFED_BYTES)
    except OSError:
        return False
    return is_video(head) or format_of(head) not in ("", "PPM", "BMP")  # whose signatures are two letters


def _counted(found: list[Path], what: str) -> str:
    return f"1 {what}" if len(found) == 1 else f"{len(found)} {what}s"


def _names(found: list[Path], folder: Path) -> str:
    names = [str(one.relative_to(folder)) for one in found[:_NAMED]]
    return ", ".join(names) + (" …" if len(found) > _NAMED else "")
