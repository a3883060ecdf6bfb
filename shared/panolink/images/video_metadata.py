"""What a video says of its frames: how they are turned, and how they lie on the sphere.

FFmpeg hands out with each frame what the boxes `st3d` and `sv3d` of spherical video metadata, version 2, say, and what
Matroska has instead. Of version 1 it takes only that it is there, so its XML is read here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError
from panolink.images.metadata import pose_of, sphere_of_video
from panolink.images.projection import STEREO_ADVICE
from panolink.sphere.metadata import NOTHING_KNOWN, Crop, Projection, SphereMetadata

_EQUIRECTANGULAR, _CUBEMAP, _TILE = 0, 1, 2
_PROJECTIONS = {3: "half a sphere (VR180)", 4: "rectilinear", 5: "fisheye", 6: "a mesh (equi-angular cubemap)"}
"""AVSphericalProjection of libavutil/spherical.h."""
_STEREO = {1: "side by side", 2: "top-bottom", 3: "frame by frame", 4: "checkerboard", 5: "side by side", 6: "by lines"}
"""AVStereo3DType of libavutil/stereo3d.h; 0 is one eye."""


@dataclass(frozen=True)
class Place:
    """Where the frames of a video lie on the sphere, as its metadata says.

    Attributes
    ----------
    projection : Projection | None
        None where nothing is said.
    sphere : SphereMetadata
        Pose of the camera.
    crop : Crop | None
        The part of the sphere that frames show; None for all of it.
    """

    projection: Projection | None = None
    sphere: SphereMetadata = NOTHING_KNOWN
    crop: Crop | None = None


def place_of(frame: Any, width: int, height: int, *, xml: str = "", converted: bool = False) -> Place:
    """What a frame of PyAV, of that size when turned upright, says of its place on the sphere.

    Parameters
    ----------
    xml : str
        What its file says by version 1; empty where it has none.
    converted : bool
        As of `panolink.images.metadata.sphere_of`: of the place, only the pose counts.

    Raises
    ------
    ImageError
        Stereo, or another projection than equirectangular and cubemap; names it and says what to do.
    """
    from av.sidedata.sidedata import Type

    if (stereo := frame.side_data.get(Type.STEREO3D)) is not None:
        kind = struct.unpack_from("<i", bytes(stereo))[0]
        if kind in _STEREO:
            raise ImageError(f"stereo video, {_STEREO[kind]}, by its metadata; {STEREO_ADVICE}")
    first = sphere_of_video(xml, width=width, height=height, converted=converted)
    if (mapping := frame.side_data.get(Type.SPHERICAL)) is None or (first and first[1]):
        return Place(Projection.EQUIRECTANGULAR, *first) if first else Place()
    # AVSphericalMapping: projection; yaw, pitch, roll in 16.16; bounds left, top, right, bottom in 0.32; padding
    kind, yaw, pitch, roll, left, top, right, bottom, padding = struct.unpack_from("<4i5I", bytes(mapping))
    if kind in _PROJECTIONS and not converted:
        raise ImageError(f"its metadata says {_PROJECTIONS[kind]}; convert it to equirectangular first")
    # Version 2 always names three angles: where all are 0, nothing is known.
    known = pose_of(yaw / 65536, pitch / 65536, roll / 65536) if yaw or pitch or roll else NOTHING_KNOWN
    sphere = known or (first[0] if first else NOTHING_KNOWN)
    if converted:
        return Place(None, sphere)
    if kind == _CUBEMAP:
        if padding:
            raise ImageError(f"a cubemap with {padding} pixels of padding around each face; convert it first")
        return Place(Projection.CUBEMAP, sphere)
    crop = None
    if kind == _TILE and (left or top or right or bottom):
        across, down = 1 - (left + right) / 2**32, 1 - (top + bottom) / 2**32
        if across <= 0 or down <= 0:
            raise ImageError("its bounds (sv3d) leave nothing of the sphere")
        full_width, full_height = round(width / across), round(height / down)
        crop = Crop(
            round(left / 2**32 * full_width), round(top / 2**32 * full_height), width, height, full_width, full_height
        )
        if not crop.inside:
            raise ImageError(f"its bounds (sv3d), {crop}, do not lie within the sphere")
    return Place(Projection.EQUIRECTANGULAR, sphere, crop)


def display_matrix(frame: Any) -> NDArray[np.int32] | None:
    """The signs of a display matrix (ISO/IEC 14496-12, 6.2.2), (2, 2); None where frames are shown as they are."""
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    values = np.frombuffer(bytes(data), "<i4").reshape(3, 3)[:2, :2]
    signs = np.sign(values) * (np.abs(values) > np.abs(values).max() / 2)
    return None if np.array_equal(signs, np.eye(2)) or not signs.any() else signs


def turned(frame: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """A frame (H, W, 3) by quarter turns and mirrors: a point (x, y) goes to (x, y) · matrix, moved into the
    picture."""
    if matrix is None:
        return frame
    if not matrix[0, 0]:
        frame, across, down = frame.transpose(1, 0, 2), matrix[1, 0], matrix[0, 1]
    else:
        across, down = matrix[0, 0], matrix[1, 1]
    return np.ascontiguousarray(frame[:: int(down) or 1, :: int(across) or 1])
