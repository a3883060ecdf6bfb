"""Live input: cameras and streams, of which the newest frame is taken, and pipes, of which every one is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from panolink.errors import ImageError
from panolink.images.formats import MAX_PIXELS, check_limit
from panolink.images.newest_frame import paced
from panolink.images.video import (
    ALL_FRAMES,
    FrameSelection,
    PanoramaFrame,
    Panoramas,
    first_stream,
    newest_panoramas,
    readable_video,
    timed_frames,
)
from panolink.sphere.metadata import LENS_DEGREES, Projection

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp", "http", "https")
_WAITING = ("http", "https")  # these servers wait for whoever reads

_OPEN_SECONDS, _READ_SECONDS = 10.0, 10.0
_OPTIONS = {"rtsp_flags": "prefer_tcp", "fflags": "nobuffer"}
"""Of what is live: frames that were read to find out what it is are not kept, which would be all of a short file."""


def is_live(source: str) -> bool:
    """Whether a source is an address or a camera; names of files with a colon in them are neither."""
    scheme, separator, _ = source.partition("://")
    return bool(separator and scheme.lower() in SCHEMES) or bool(re.fullmatch(r"/dev/video\d+", source))


def public_name(source: str) -> str:
    """An address without the user and password that it may hold: names are sent along, and logged."""
    return re.sub(r"(?<=://)[^/@]*@", "", source)


def live_frames(
    source: str,
    *,
    selection: FrameSelection = ALL_FRAMES,
    projection: Projection = Projection.AUTO,
    lens_degrees: float = LENS_DEGREES,
    allow_any_aspect: bool = False,
    max_pixels: int = MAX_PIXELS,
    live: bool = False,
) -> Iterator[PanoramaFrame]:
    """Panoramas of a camera or stream, until it ends; those that come while the last one is in use are skipped.

    Parameters
    ----------
    source : str
        `rtsp://…`, `udp://…` and the like, or `/dev/video0`.
    selection, projection, lens_degrees, allow_any_aspect, max_pixels, live : as of
        `panolink.images.video.video_frames`.

    Raises
    ------
    ImageError
        It cannot be reached, or sends nothing for ten seconds; or what `video_frames` raises.
    """
    name = public_name(source)
    scheme = source.partition("://")[0].lower()
    with _open(source, name) as container:
        stream = first_stream(container, name)
        check_limit(stream.width, stream.height, max_pixels, name)
        timed = timed_frames(container, stream)
        frames = selection.choose(paced(timed, selection.start) if scheme in _WAITING and live else timed)
        panoramas = Panoramas(name, projection, lens_degrees, allow_any_aspect, max_pixels)
        if scheme in _WAITING and not live:
            yield from panoramas.of(frames)
            return
        yield from newest_panoramas(panoramas, frames)


@contextmanager
def _open(source: str, name: str) -> Iterator[Any]:
    import av
    import av.error

    with readable_video(name):
        camera = source.startswith("/dev/")
        waiting = source.partition("://")[0].lower() in _WAITING
        try:
            container = av.open(
                source,
                format="v4l2" if camera else None,
                options={} if camera or waiting else _OPTIONS,
                timeout=(_OPEN_SECONDS, _READ_SECONDS),
            )
        except av.error.ProtocolNotFoundError:
            scheme = source.partition("://")[0]
            raise ImageError(
                f"{name}: this PyAV has no {scheme}; pipe it in instead: "
                f"ffmpeg -i {scheme}://… -c copy -f mpegts - | panolink send -"
            ) from None
        except av.error.ExitError:
            raise ImageError(f"{name}: nothing came within {_OPEN_SECONDS:g} s") from None
        with container:
            yield container


class Piped:
    """A file that cannot seek, with bytes that were read of it put back in front: what PyAV needs to read a pipe."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._rest.read(size)
        if size < 0:
            data, self._head = self._head + self._rest.read(), b""
            return data
        data, self._head = self._head[:size], self._head[size:]
        return data
