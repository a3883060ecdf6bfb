"""Where browsers look: the newest direction of each, with its age."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from panolink.errors import PanolinkError
from panolink.services.viewer.metrics import ViewerMetrics


class GazeError(PanolinkError, ValueError):
    """A gaze that is out of range."""


@dataclass(frozen=True)
class Gaze:
    """A direction of view.

    Attributes
    ----------
    yaw
        Degrees to the right of the panorama's middle, −180 to 180.
    pitch
        Degrees above the horizon, −90 to 90.
    fov
        Horizontal field of view in degrees, 1 to 180.
    """

    yaw: float
    pitch: float
    fov: float

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Gaze:
        """Check a browser's message; raises `GazeError`."""
        ranges = {"yaw": (-180.0, 180.0), "pitch": (-90.0, 90.0), "fov": (1.0, 180.0)}
        values: dict[str, float] = {}
        for name, (least, most) in ranges.items():
            value = message.get(name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise GazeError(f"gaze: {name} is not a number")
            if not least <= value <= most:
                raise GazeError(f"gaze: {name} is {value:g}; allowed: {least:g} to {most:g}")
            values[name] = float(value)
        return cls(**values)


class GazeBook:
    """The newest gaze of each browser.

    `forward` is called with the newest gaze of all. The protocol has no message for it yet: it is the place where a
    gaze will be handed to the receiver's Watch stream.
    """

    def __init__(self, metrics: ViewerMetrics, forward: Callable[[Gaze], None] | None = None) -> None:
        self._metrics = metrics
        self._forward = forward
        self._gazes: dict[int, tuple[Gaze, float]] = {}
        metrics.gaze_age.set_function(lambda: min((g["age_seconds"] for g in self.as_list()), default=math.nan))

    def put(self, browser: int, gaze: Gaze) -> None:
        """Keep a browser's gaze."""
        self._gazes[browser] = (gaze, time.monotonic())
        self._metrics.gazes.inc()
        if self._forward:
            self._forward(gaze)

    def forget(self, browser: int) -> None:
        """Forget a browser that has left."""
        self._gazes.pop(browser, None)

    def as_list(self) -> list[dict[str, float]]:
        """All gazes, the newest first, each with `age_seconds`."""
        now = time.monotonic()
        aged = [{**vars(gaze), "age_seconds": now - since} for gaze, since in list(self._gazes.values())]
        return sorted(aged, key=lambda gaze: gaze["age_seconds"])
