"""One MP4 of received panoramas, which players show as a sphere.

It carries spherical video metadata of both versions (https://github.com/google/spatial-media/tree/master/docs): the XML
of V1 in a `uuid` box of its track, and V2's boxes `st3d` and `sv3d` in its sample description.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError
from panolink.images.mp4_boxes import FULL_BOX, UUID_V1, box, boxes, last_box
from panolink.images.write import resized
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

_CODEC = "libx264"
_OPTIONS = {"crf": "18", "preset": "veryfast"}
_MILLISECOND = Fraction(1, 1000)
_BT709, _LIMITED = 1, 1  # ITU-T H.273; what video players take for granted

_XML_V1 = (
    '<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">'
    "<GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:Stitched>true</GSpherical:Stitched>"
    "<GSpherical:StitchingSoftware>Panolink</GSpherical:StitchingSoftware>"
    "<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>{pose}</rdf:SphericalVideo>"
)


class SphericalVideo:
    """Writes panoramas to an MP4 file, each at its time; all at the size of the first.

    Parameters
    ----------
    path : Path
        Of the file, which is replaced.
    fps : float | None
        Frames a second, one after the other; None: at the times that are given.
    name : Path | None
        What errors call it, where it is written under another name.
    """

    def __init__(self, path: Path, *, fps: float | None = None, name: Path | None = None) -> None:
        self.frames = 0
        self._path = path
        self._name = name or path
        self._fps = None if fps is None else Fraction(fps).limit_denominator(1001)
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1
        self._sphere = NOTHING_KNOWN

    def add(self, image: NDArray[np.uint8], *, seconds: float, sphere: SphereMetadata = NOTHING_KNOWN) -> None:
        """Append a panorama, uint8 sRGB (H, W, 3), that is shown so many seconds after the beginning.

        Raises
        ------
        OSError
            The file cannot be written; its `filename` is the path.
        ImageError
            The encoder is missing.
        """
        import av

        if self._container is None:
            self._sphere = sphere
            self._open(image.shape[0] // 2 * 2, image.shape[1] // 2 * 2)
        frame: Any = av.VideoFrame.from_ndarray(resized(image, self._size), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        now = self.frames if self._fps else round(seconds / _MILLISECOND)
        frame.pts = self._last = max(now, self._last + 1)
        frame.time_base = self._stream.codec_context.time_base
        self.frames += 1
        self._mux(frame)

    def close(self) -> None:
        """Finish the file; `OSError` as of `add`."""
        if self._container is None:
            return
        self._mux(None)
        try:
            self._container.close()
            with self._path.open("r+b") as file:
                mark_as_sphere(file, self._sphere)
        except OSError as error:
            raise self._named(error) from None

    def _open(self, height: int, width: int) -> None:
        import av
        from av.codec import codecs_available

        if _CODEC not in codecs_available:
            raise ImageError(f"this PyAV cannot write H.264 ({_CODEC}); install a wheel of it from PyPI")
        self._size = height, width
        try:
            self._container = av.open(str(self._path), "w", format="mp4")
        except OSError as error:
            raise self._named(error) from None
        self._stream = self._container.add_stream(_CODEC, rate=self._fps or 30, options=_OPTIONS)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        context = self._stream.codec_context
        context.time_base = 1 / self._fps if self._fps else _MILLISECOND
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:
            raise self._named(error) from None

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror or str(error), str(self._name))


def mark_as_sphere(file: BinaryIO, sphere: SphereMetadata = NOTHING_KNOWN, *, more: str = "") -> None:
    """Put spherical metadata of both versions into the video track of an MP4 file, opened for reading and writing.

    Parameters
    ----------
    more : str
        Further elements of the XML.

    Raises
    ------
    ImageError
        No MP4 whose last box is its `moov`, as encoders write it in one pass.
    """
    start, moov = last_box(file)
    marked = _in_tracks(moov, sphere, _xml(sphere, more))
    file.seek(start)
    file.write(marked)
    file.truncate()


def _in_tracks(moov: bytes, sphere: SphereMetadata, xml: str) -> bytes:
    """A whole `moov` box, its video tracks marked."""
    content = b""
    for kind, inner in boxes(moov[8:]):
        if kind == b"trak" and b"vide" in inner:
            inner = _in_description(inner, [b"mdia", b"minf", b"stbl", b"stsd"], sphere)
            inner += box(b"uuid", UUID_V1 + xml.encode())
        content += box(kind, inner)
    return box(b"moov", content)


def _in_description(content: bytes, way: list[bytes], sphere: SphereMetadata) -> bytes:
    """The content of a box, with `st3d` and `sv3d` in the first sample entry at the end of the way."""
    if not way:
        head = FULL_BOX + 4  # and the number of entries
        (kind, entry), *others = boxes(content[head:])
        entry += box(b"st3d", bytes(FULL_BOX) + b"\0") + _sv3d(sphere)  # 0: one eye
        return content[:head] + box(kind, entry) + b"".join(box(*other) for other in others)
    return b"".join(
        box(kind, _in_description(inner, way[1:], sphere) if kind == way[0] else inner)
        for kind, inner in boxes(content)
    )


def _sv3d(sphere: SphereMetadata) -> bytes:
    """Of a whole equirectangular sphere, with its pose in 16.16 degrees: yaw and roll from −180 to 180."""
    yaw = ((sphere.heading or 0.0) + 180) % 360 - 180
    pose = struct.pack(">3i", *(round(65536 * angle) for angle in (yaw, sphere.pitch or 0.0, sphere.roll or 0.0)))
    projection = box(b"prhd", bytes(FULL_BOX) + pose) + box(b"equi", bytes(FULL_BOX) + bytes(16))
    return box(b"sv3d", box(b"svhd", bytes(FULL_BOX) + b"Panolink\0") + box(b"proj", projection))


def _xml(sphere: SphereMetadata, more: str) -> str:
    """V1 has whole degrees, and calls the pose the initial view."""
    pose = {"Heading": sphere.heading, "Pitch": sphere.pitch, "Roll": sphere.roll}
    tags = "".join(
        f"<GSpherical:InitialView{axis}Degrees>{round(angle)}</GSpherical:InitialView{axis}Degrees>"
        for axis, angle in pose.items()
        if angle is not None
    )
    return _XML_V1.format(pose=tags + more)
