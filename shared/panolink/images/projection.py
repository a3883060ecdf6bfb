"""Cubemaps and double fisheyes to equirectangular (FFmpeg's `v360`), and how they are recognised."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError
from panolink.sphere.metadata import LEAST_LENS_DEGREES, LENS_DEGREES, MOST_LENS_DEGREES, Projection

_CUBES = {(3, 2): "c3x2", (6, 1): "c6x1", (1, 6): "c1x6"}
"""Arrangements of a cubemap's faces, across and down, by their names in `v360`."""
_DARK = 24  # of 255: what surrounds the circles of fisheye lenses

STEREO_ADVICE = (
    "take one eye, for instance: ffmpeg -i IN -vf crop=iw:ih/2:0:0 OUT (top-bottom), crop=iw/2:ih:0:0 (side by side)"
)


class Projector:
    """Converts pictures of one size to equirectangular.

    Parameters
    ----------
    width, height : int
        Of the source, in pixels.
    projection : Projection
        `CUBEMAP` or `DFISHEYE`.
    lens_degrees : float
        Field of view of each lens of a double fisheye, `LEAST_LENS_DEGREES` to `MOST_LENS_DEGREES`.

    Attributes
    ----------
    size
        Width and height of what comes out.

    Raises
    ------
    ImageError
        A shape that such pictures do not have, or lenses that cannot be; names what is taken.
    """

    def __init__(self, width: int, height: int, projection: Projection, *, lens_degrees: float = LENS_DEGREES) -> None:
        if projection is Projection.CUBEMAP:
            arrangement = next((pair for pair in _CUBES if width * pair[1] == height * pair[0]), None)
            if arrangement is None:
                raise ImageError(f"{width}×{height} is no cubemap: six faces as 3×2, 6×1 or 1×6 are taken")
            face = width // arrangement[0]
            self.size = 4 * face, 2 * face
            self._filter = f"input={_CUBES[arrangement]}:output=e:w={4 * face}:h={2 * face}:interp=cubic"
        else:
            if width != 2 * height:
                raise ImageError(f"{width}×{height} is no double fisheye: two squares side by side (2:1) are taken")
            if not LEAST_LENS_DEGREES <= lens_degrees <= MOST_LENS_DEGREES:
                allowed = f"{LEAST_LENS_DEGREES:g} to {MOST_LENS_DEGREES:g}"
                raise ImageError(f"two lenses of {lens_degrees:g}° make no sphere; {allowed}° are taken")
            self.size = width, height
            lenses = f"ih_fov={lens_degrees:g}:iv_fov={lens_degrees:g}"
            self._filter = f"input=dfisheye:output=e:{lenses}:w={width}:h={height}:interp=cubic"
        self._source = width, height
        self._graph: Any = None

    def convert(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 RGB (height, width, 3) to uint8 RGB of `size`."""
        import av

        self._graph = self._graph or self._build()
        self._graph.push(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        return self._graph.pull().to_ndarray(format="rgb24")

    def _build(self) -> Any:
        import av
        import av.filter

        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=self._source[0], height=self._source[1], format=av.VideoFormat("rgb24"), time_base=Fraction(1, 25)
        )
        chain = [source, graph.add("format", "gbrp"), graph.add("v360", self._filter), graph.add("format", "rgb24")]
        chain.append(graph.add("buffersink"))
        for one, following in pairwise(chain):
            one.link_to(following)
        graph.configure()
        return graph


def note_of(projection: Projection, lens_degrees: float) -> str:
    """What a user is told of a conversion; `lens_degrees` as of `Projector`."""
    if projection is Projection.CUBEMAP:
        return "a cubemap was converted to equirectangular"
    return f"two fisheye pictures were joined, as of lenses of {lens_degrees:g}°"


def advice_by_shape(width: int, height: int) -> str:
    """Advice for a picture that is not 2:1, by its shape; empty where there is none."""
    if width in (height, 4 * height):
        return f"; if it is a stereo picture, {STEREO_ADVICE}"
    if any(width * down == height * across for across, down in _CUBES):
        return "; if it is a cubemap, --projection cubemap converts it"
    return ""


def check_content(picture: NDArray[np.uint8]) -> None:
    """`ImageError`, with advice, for a 2:1 picture, uint8 (H, W, 3), that shows two fisheyes."""
    step = max(1, picture.shape[0] // 64)
    small = picture[::step, ::step].mean(2)
    if _two_circles(small):
        raise ImageError(
            "two fisheye pictures side by side, by their black corners; --projection dfisheye joins them "
            "(the camera's own program does it better), --projection equirectangular takes the picture as it is"
        )


def _two_circles(grey: NDArray[np.floating]) -> bool:
    """Whether everything outside two circles side by side is black, and what is inside is not."""
    height, width = grey.shape
    if abs(width - 2 * height) > 2 or height < 16:
        return False
    rows = (np.arange(height) + 0.5) / height - 0.5
    cols = ((np.arange(width) + 0.5) * 2 / width) % 1 - 0.5
    radius = np.hypot(rows[:, None], cols[None, :])
    outside, inside = grey[radius > 0.56], grey[radius < 0.45]
    rims = grey[(radius > 0.4) & (radius < 0.46)]  # a night is dark at some of them too
    return bool(np.quantile(outside, 0.98) < _DARK and inside.mean() > 2 * _DARK and np.quantile(rims, 0.2) > _DARK)
