"""Frames of a video as panoramas: turned as players turn them, in sRGB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError
from panolink.images.colour import HLG, PQ, signal_to_srgb
from panolink.images.formats import MAX_PIXELS, check_limit
from panolink.images.read import check_aspect


def video_frames(
    path: str | Path, *, allow_any_aspect: bool = False, max_pixels: int = MAX_PIXELS
) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video's first stream, uint8 sRGB (H, W, 3); HDR10 and HLG tone-mapped.

    Raises
    ------
    ImageError : no video, of another shape, or damaged: what came before has been given.
    LimitError : frames of more than `max_pixels`.
    """
    # Only videos need it, and it loads FFmpeg.
    import av
    import av.error

    name = str(path)
    try:
        with av.open(f"file:{path}") as container:
            if not container.streams.video:
                raise ImageError(f"{name}: no video stream")
            stream = container.streams.video[0]
            check_limit(stream.width, stream.height, max_pixels, name)
            matrix: Any = None
            for number, frame in enumerate(container.decode(stream)):
                if not number:
                    matrix = _display_matrix(frame)
                    width, height = frame.width, frame.height
                    if matrix is not None and not matrix[0, 0]:
                        width, height = height, width
                    check_limit(width, height, max_pixels, name)
                    check_aspect(width, height, allow_any_aspect, name)
                yield turned(_to_srgb(frame), matrix)
    except (av.error.FFmpegError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ImageError(f"{name}: not a readable video ({reason})") from None


def _display_matrix(frame: Any) -> NDArray[np.int32] | None:
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


def _to_srgb(frame: Any) -> NDArray[np.uint8]:
    if int(frame.color_trc) not in (PQ, HLG):
        return frame.to_ndarray(format="rgb24")
    signal = frame.to_ndarray(format="rgb48le").astype(np.float32) / np.float32(65535)
    return signal_to_srgb(signal, int(frame.color_primaries), int(frame.color_trc))
