"""Frames of a video as panoramas: those that are asked for, turned as players turn them, equirectangular, in sRGB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError, PanolinkError
from panolink.images.colour import BT2020, DISPLAY_P3, HLG, PQ, signal_to_srgb
from panolink.images.formats import MAX_PIXELS, check_limit
from panolink.images.mp4_boxes import spherical_xml
from panolink.images.newest_frame import NewestFrame, paced
from panolink.images.projection import Projector, check_content, note_of
from panolink.images.read import check_aspect
from panolink.images.video_metadata import Place, display_matrix, place_of, turned
from panolink.sphere.filling import place_crop
from panolink.sphere.metadata import LENS_DEGREES, NOTHING_KNOWN, Projection, SphereMetadata

_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,m4v,avi,flv,ogg,asf,yuv4mpegpipe,h264,hevc,mjpeg,ivf"
)
"""Formats of files. Not all that FFmpeg knows: playlists and scripts would make it open files and addresses."""

_NOT_SAID = 2  # a code point of H.273
_SLACK = 1e-3  # seconds by which a frame may come before its time, as rounded as containers store it
_DISORDER = 0.5  # seconds by which times go back that are out of order; those that go back further begin anew


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of a video are taken.

    Attributes
    ----------
    fps : float | None
        At most so many for each second of the video; None: all.
    every : int
        Of those that are left, the first of every so many.
    start : float
        Seconds from the video's beginning.
    duration : float | None
        Seconds from there; None: to the end.
    """

    fps: float | None = None
    every: int = 1
    start: float = 0.0
    duration: float | None = None

    def choose(self, timed: Iterator[tuple[float, Any]]) -> Iterator[Any]:
        """The frames that are taken, of frames with their times in seconds."""
        due, seen = self.start, 0
        for seconds, frame in timed:
            if seconds < self.start - _SLACK:
                continue
            if self.duration is not None and seconds >= self.start + self.duration - _SLACK:
                return
            if self.fps is not None:
                if seconds < due - _SLACK:
                    continue
                due += (int((seconds - due + _SLACK) * self.fps) + 1) / self.fps
            if seen % self.every == 0:
                yield frame
            seen += 1


ALL_FRAMES = FrameSelection()


@dataclass(frozen=True)
class PanoramaFrame:
    """A frame as it is coded: uint8 sRGB (H, W, 3), pose and crop, and what the user should be told."""

    array: NDArray[np.uint8]
    sphere: SphereMetadata = NOTHING_KNOWN
    notes: tuple[str, ...] = ()
    captured_at: float = 0.0
    """of a live source: when it was read, seconds since 1970"""
    skipped: int = 0
    """of a live source: frames that were left out before it, because newer ones had come"""


def video_frames(
    source: str | Path | BinaryIO,
    *,
    name: str = "",
    selection: FrameSelection = ALL_FRAMES,
    projection: Projection = Projection.AUTO,
    lens_degrees: float = LENS_DEGREES,
    allow_any_aspect: bool = False,
    max_pixels: int = MAX_PIXELS,
    live: bool = False,
) -> Iterator[PanoramaFrame]:
    """Frames of a video's first stream, tone-mapped if they are HDR10 or HLG; notes come with the first.

    Parameters
    ----------
    source : str | Path | BinaryIO
        A file's path, whatever its name looks like, or an open file that need not be seekable.
    name : str
        What messages call it; the path where empty.
    projection : Projection
        How its pixels lie on the sphere; cubemaps and double fisheyes are converted.
    lens_degrees : float
        Field of view of each lens of a double fisheye (`panolink.images.projection.Projector`).
    live : bool
        In its own time, as a camera would give them: those that come while the last one is in use are skipped.

    Raises
    ------
    ImageError
        No video, of another shape or projection, stereo, or damaged: what came before has been given.
    LimitError
        Frames of more than `max_pixels`.
    """
    name = name or str(source)
    with readable_video(name), _container(source, selection.start) as container:
        stream = first_stream(container, name)
        check_limit(stream.width, stream.height, max_pixels, name)
        timed = timed_frames(container, stream)
        frames = selection.choose(paced(timed, selection.start) if live else timed)
        xml = spherical_xml(source) if isinstance(source, (str, Path)) else ""
        panoramas = Panoramas(name, projection, lens_degrees, allow_any_aspect, max_pixels, xml=xml)
        yield from newest_panoramas(panoramas, frames) if live else panoramas.of(frames)


def _container(source: str | Path | BinaryIO, start: float) -> Any:
    """An open file, from a place before that second on if it is one where places can be sought, else from the first.

    Where times may begin anew, as in MPEG-TS, none can: a place is sought by its time, and there may be two of it.
    """
    import av
    import av.error
    from av.format import Flags

    opened: Any = f"file:{source}" if isinstance(source, (str, Path)) else source
    container: Any = av.open(opened, options={"format_whitelist": _CONTAINERS})
    anew = container.format.flags & Flags.ts_discont.value
    if 1 < start < inf and isinstance(opened, str) and container.streams.video and not anew:
        stream = container.streams.video[0]
        try:
            container.seek(int(start / stream.time_base) + (stream.start_time or 0), stream=stream)
        except av.error.FFmpegError:  # of a raw stream: it has been read to its end
            container.close()
            return av.open(opened, options={"format_whitelist": _CONTAINERS})
    return container


def newest_panoramas(panoramas: Panoramas, frames: Iterator[Any]) -> Iterator[PanoramaFrame]:
    """Panoramas of frames that are read without a pause: each is the newest when it is asked for."""
    newest = NewestFrame(frames)
    try:
        for panorama in panoramas.of(iter(newest)):
            yield replace(panorama, captured_at=newest.captured_at, skipped=newest.skipped)
    finally:
        newest.stop()


@contextmanager
def readable_video(name: str) -> Iterator[None]:
    """What FFmpeg and the checks of panoramas say is wrong, as an `ImageError` of one line that names the video."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except PanolinkError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{name}: not a readable video ({words.strip().splitlines()[0]})") from None


def frame_rate(path: Path) -> float | None:
    """Frames a second of a video's file, in the mean; None where it is none, or does not say."""
    import av
    import av.error

    try:
        with av.open(f"file:{path}", options={"format_whitelist": _CONTAINERS}) as container:
            rate = container.streams.video[0].average_rate if container.streams.video else None
    except (av.error.FFmpegError, OSError, ValueError):
        return None
    return float(rate) if rate else None


def first_stream(container: Any, name: str) -> Any:
    """The video that is shown, decoded with threads."""
    if not container.streams.video:
        raise ImageError(f"{name}: no video stream")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def timed_frames(container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """Frames with their times in seconds from the beginning of the stream.

    Where its times begin anew, as those of a sender that restarts or of two streams one behind the other, they go on.
    """
    beginning = None if stream.start_time is None else float(stream.start_time * stream.time_base)
    step = 1 / float(stream.average_rate or 25)
    seconds = -step
    for frame in container.decode(stream):
        if frame.time is None:  # a raw stream: frames follow one another
            seconds += step
        else:
            beginning = frame.time if beginning is None else beginning
            if seconds >= 0 and frame.time - beginning < seconds - _DISORDER:
                beginning = frame.time - seconds - step
            seconds = frame.time - beginning
        yield seconds, frame


class Panoramas:
    """Makes panoramas of decoded frames, each by what the first one of its size says.

    Parameters
    ----------
    name : str
        Of the video, for messages.
    projection, lens_degrees, allow_any_aspect, max_pixels
        As of `video_frames`.
    xml : str
        What its file says by version 1 of spherical video metadata.
    """

    def __init__(
        self,
        name: str,
        projection: Projection,
        lens_degrees: float,
        allow_any_aspect: bool,
        max_pixels: int,
        *,
        xml: str = "",
    ) -> None:
        self._name = name
        self._projection = projection
        self._lens_degrees = lens_degrees
        self._any_aspect = allow_any_aspect
        self._max_pixels = max_pixels
        self._xml = xml
        self._matrix: NDArray[np.int32] | None = None
        self._place = Place()
        self._projector: Projector | None = None

    def of(self, frames: Iterator[Any]) -> Iterator[PanoramaFrame]:
        """One panorama for each of PyAV's frames; raises as `video_frames` does, naming the video."""
        size: tuple[int, int] | None = None
        for frame in frames:
            notes: tuple[str, ...] = ()
            if size != (frame.width, frame.height):  # the first, and where a stream changes
                try:
                    found = self._look_at(frame)
                except ImageError as error:
                    if str(error).startswith(f"{self._name}: "):
                        raise
                    raise type(error)(f"{self._name}: {error}") from None
                notes, size = found if size is None else (), (frame.width, frame.height)
            yield PanoramaFrame(self._panorama(frame), self._sphere, notes)

    @property
    def _sphere(self) -> SphereMetadata:
        return replace(self._place.sphere, crop=self._place.crop)

    def _look_at(self, frame: Any) -> tuple[str, ...]:
        """Check the first frame, and prepare for all; what the user should be told."""
        self._matrix = display_matrix(frame)
        width, height = frame.width, frame.height
        if self._matrix is not None and not self._matrix[0, 0]:
            width, height = height, width
        check_limit(width, height, self._max_pixels, self._name)
        converted = self._projection in (Projection.CUBEMAP, Projection.DFISHEYE)
        if self._projection is not Projection.EQUIRECTANGULAR:
            self._place = place_of(frame, width, height, xml=self._xml, converted=converted)
        said = self._place.projection
        if converted or said is Projection.CUBEMAP:
            wanted = self._projection if converted else Projection.CUBEMAP
            self._projector = Projector(width, height, wanted, lens_degrees=self._lens_degrees)
            check_limit(*self._projector.size, self._max_pixels, self._name)
            return (note_of(wanted, self._lens_degrees),)
        if crop := self._place.crop:
            about_crop = f"{self._name}: its crop, {crop}"
            check_limit(crop.full_width, crop.full_height, self._max_pixels, about_crop)
            check_aspect(crop.full_width, crop.full_height, self._any_aspect, about_crop)
            return (f"a crop, {crop}, was placed on the sphere and the rest filled in",)
        check_aspect(width, height, self._any_aspect, self._name)
        if said is None and self._projection is Projection.AUTO:
            check_content(turned(_to_srgb(frame), self._matrix))
        return ()

    def _panorama(self, frame: Any) -> NDArray[np.uint8]:
        picture = turned(_to_srgb(frame), self._matrix)
        if self._projector:
            return self._projector.convert(picture)
        return place_crop(picture, self._place.crop) if self._place.crop else picture


def _to_srgb(frame: Any) -> NDArray[np.uint8]:
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    matrix = "ITU709" if int(frame.colorspace) == _NOT_SAID and _is_high_definition(frame) else None
    if transfer not in (PQ, HLG) and primaries not in (BT2020, DISPLAY_P3):
        return frame.to_ndarray(format="rgb24", src_colorspace=matrix)
    signal = frame.to_ndarray(format="rgb48le", src_colorspace=matrix).astype(np.float32) / np.float32(65535)
    return signal_to_srgb(signal, primaries, transfer)


def _is_high_definition(frame: Any) -> bool:
    """Whether players take a frame that says nothing of its colours for BT.709; smaller ones are BT.601 to them."""
    return frame.width >= 1280 or frame.height > 576
