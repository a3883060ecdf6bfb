"""Where somebody looks: directions around which a panorama is coded finely, and how much coarser it is elsewhere.

Encoder and decoder derive the same quantisation steps from a focus, whatever machine they run on: directions are small
integers, angles are compared by integer dot products.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panolink.errors import RateError

MOST_FOCI = 4
"""in a packet"""

MOST_STEPS = 20
"""quarter octaves by which a token may be coarser than it would be in a focus"""

RAMP_DEGREES = 3.0
"""beyond the edge of a focus, each so many degrees are a quarter octave: best of 1.5 to 6 on validation panoramas"""

DEFAULT_WIDTH = 90.0
"""degrees, of a viewport"""

_TURN = 256
"""units of a full turn in which directions and widths are kept: a byte each, 1.4 degrees"""

_FINE = 4096
"""units of a full turn in the table of sines; a token's centre is rounded to them"""

_ONE = 1 << 14
"""fixed point of sines"""


@dataclass(frozen=True)
class Focus:
    """A direction and the width of what is looked at around it.

    Parameters
    ----------
    yaw : float
        Degrees to the right of the panorama's middle; any finite number, taken modulo a turn.
    pitch : float
        Degrees above the horizon, −90 … 90.
    width : float
        Degrees, across the part that is to be fine, above 0 … 360.

    Raises
    ------
    RateError
        A number that is not finite or out of its range.
    """

    yaw: float
    pitch: float
    width: float = DEFAULT_WIDTH

    def __post_init__(self) -> None:
        if not math.isfinite(self.yaw):
            raise RateError(f"yaw of a focus is {self.yaw}; it must be a finite number of degrees")
        if not -90 <= self.pitch <= 90:
            raise RateError(f"pitch of a focus is {self.pitch}; it must be from -90 to 90 degrees")
        if not 0 < self.width <= 360:
            raise RateError(f"width of a focus is {self.width}; it must be above 0, at most 360 degrees")

    @classmethod
    def parse(cls, text: str) -> Focus:
        """Read ``yaw,pitch`` or ``yaw,pitch,width``, in degrees.

        Raises
        ------
        RateError
            Where it is neither, or out of range.
        """
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (2, 3):
            raise RateError(f"focus {text!r}; wanted: yaw,pitch or yaw,pitch,width in degrees, such as 90,-10")
        return cls(*numbers)

    def to_bytes(self) -> bytes:
        """Three bytes: yaw, pitch and width in 256ths of a turn, the width less one."""
        yaw = round(self.yaw % 360 * _TURN / 360) % _TURN
        pitch = round(self.pitch * _TURN / 360) % _TURN
        width = min(max(round(self.width * _TURN / 360), 1), _TURN)
        return bytes([yaw, pitch, width - 1])

    @classmethod
    def from_bytes(cls, data: bytes) -> Focus:
        """Inverse of `to_bytes`.

        Raises
        ------
        RateError
            A pitch that is none.
        """
        yaw, pitch, width = data
        return cls(*(units * 360 / _TURN for units in (_signed(yaw), _signed(pitch), width + 1)))


def _signed(byte: int) -> int:
    return byte - _TURN if byte >= _TURN // 2 else byte


def quantized(foci: Sequence[Focus]) -> tuple[Focus, ...]:
    """Foci as a packet holds them; `RateError` where there are more than `MOST_FOCI`."""
    if len(foci) > MOST_FOCI:
        raise RateError(f"{len(foci)} foci; a packet holds at most {MOST_FOCI}")
    return tuple(dict.fromkeys(Focus.from_bytes(focus.to_bytes()) for focus in foci))


@functools.lru_cache(maxsize=32)
def focus_steps(rows: int, cols: int, foci: tuple[Focus, ...]) -> NDArray[np.int64]:
    """How much coarser tokens are than in the nearest focus.

    Parameters
    ----------
    rows, cols : int
        Of the grid of tokens.
    foci : tuple of Focus
        As `quantized` gives them.

    Returns
    -------
    int64 (rows, cols)
        Quarter octaves, 0 to `MOST_STEPS`; 0 everywhere without a focus. Not to be written to.
    """
    steps = np.full((rows, cols), MOST_STEPS if foci else 0, dtype=np.int64)
    pitch = _FINE // 4 - (2 * np.arange(rows) + 1) * _FINE // (4 * rows)
    yaw = (2 * np.arange(cols) + 1) * _FINE // (2 * cols) - _FINE // 2
    for focus in foci:
        towards, up, width = focus.to_bytes()
        there, above = towards * _FINE // _TURN, np.array(up * _FINE // _TURN)
        level = _cosine(pitch) * _cosine(above) // _ONE
        dot = level[:, None] * _cosine(yaw - there)[None] + (_sine(pitch) * _sine(above))[:, None]
        # Beyond half a turn there is nothing: cosines fall up to there.
        edge = (width + 1) * _FINE // (2 * _TURN) + np.arange(MOST_STEPS) * round(RAMP_DEGREES * _FINE / 360)
        bounds = np.where(edge < _FINE // 2, _cosine(edge) * _ONE, -(_ONE**2) - 1)
        steps = np.minimum(steps, (dot[..., None] < bounds).sum(axis=-1))
    steps.flags.writeable = False
    return steps


def _sine(angle: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of integer angles in ``_FINE``-ths of a turn, in 1/``_ONE``."""
    return _SINES[angle % _FINE]


def _cosine(angle: NDArray[np.int64]) -> NDArray[np.int64]:
    return _SINES[(angle + _FINE // 4) % _FINE]


_SINES = np.array([round(_ONE * math.sin(2 * math.pi * k / _FINE)) for k in range(_FINE)], dtype=np.int64)
"""none is near a half, so that they are the same wherever they are computed"""
