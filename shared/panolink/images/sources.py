"""All panoramas of files, folders and videos, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError, PanolinkError
from panolink.images.formats import IMAGE_SUFFIXES, MAX_PIXELS, VIDEO_SUFFIXES
from panolink.images.read import read_picture
from panolink.images.video import video_frames
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata


@dataclass(frozen=True)
class Panorama:
    """A picture that can be sent: where it came from, its pixels, uint8 RGB (H, W, 3), and its file if it has one."""

    name: str
    array: NDArray[np.uint8]
    file: Path | None = None
    """None for a frame of a video"""
    sphere: SphereMetadata = NOTHING_KNOWN
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why. The files after it are still read."""

    name: str
    error: PanolinkError


def panoramas_in(
    paths: Iterable[str | Path], *, allow_any_aspect: bool = False, max_pixels: int = MAX_PIXELS
) -> Iterator[Panorama | Failure]:
    """All panoramas of files, folders (their images and videos, sorted by name) and videos (frame by frame).

    One picture is held at a time. What cannot be used comes out as a `Failure`, and the rest goes on.
    """
    for path in map(Path, paths):
        for file in _files(path):
            if isinstance(file, Failure):
                yield file
            elif file.suffix.lower() in VIDEO_SUFFIXES:
                yield from _frames(file, allow_any_aspect, max_pixels)
            else:
                try:
                    picture = read_picture(file, allow_any_aspect=allow_any_aspect, max_pixels=max_pixels)
                    yield Panorama(str(file), picture.array, file, picture.sphere, picture.notes)
                except PanolinkError as error:
                    yield Failure(str(file), error)


def _files(path: Path) -> Iterator[Path | Failure]:
    if not path.is_dir():
        yield path
        return
    found = [p for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES]
    if not found:
        yield Failure(str(path), ImageError(f"{path}: no images or videos in this folder"))
    yield from found


def _frames(path: Path, allow_any_aspect: bool, max_pixels: int) -> Iterator[Panorama | Failure]:
    """Frames of a video, named `path#0001`, `path#0002` …; damage in the middle ends it with a Failure."""
    try:
        frames = video_frames(path, allow_any_aspect=allow_any_aspect, max_pixels=max_pixels)
        for number, frame in enumerate(frames, start=1):
            yield Panorama(f"{path}#{number:04d}", frame)
    except PanolinkError as error:
        yield Failure(str(path), error)
