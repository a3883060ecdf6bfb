"""Where browsers look: the newest direction of each, with its age, and the foci that the link gets."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from panolink.errors import PanolinkError
from panolink.rpc.wire.gazes import merged, same_direction
from panolink.services.viewer.control import is_number
from panolink.services.viewer.metrics import ViewerMetrics
from panolink.sphere.focus import Focus

ACTIVE_SECONDS = 2.5
"""A page that is in view tells its gaze at least every second; one that says nothing for so long looks nowhere."""

MOST_COMPARED = 64
"""The newest gazes, of which foci are made: each is compared with each."""

TELL_SECONDS = 0.1
"""From telling the link to telling it again: gazes that are said to be old make foci wide."""


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
            if not is_number(value):
                raise GazeError(f"gaze: {name} is not a number")
            if not least <= value <= most:
                raise GazeError(f"gaze: {name} is {value:g}; allowed: {least:g} to {most:g}")
            values[name] = float(value)
        return cls(**values)


class GazeBook:
    """The newest gaze of each browser.

    Parameters
    ----------
    clock
        Seconds; monotonic.
    """

    def __init__(self, metrics: ViewerMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._gazes: dict[int, tuple[Gaze, float]] = {}
        metrics.gaze_age.set_function(lambda: min((g["age_seconds"] for g in self.as_list()), default=math.nan))

    def put(self, browser: int, gaze: Gaze) -> None:
        """Keep a browser's gaze."""
        self._gazes[browser] = (gaze, self._clock())
        self._metrics.gazes.inc()

    def forget(self, browser: int) -> None:
        """Forget a browser that has left."""
        self._gazes.pop(browser, None)

    def as_list(self) -> list[dict[str, float]]:
        """All gazes, the newest first, each with `age_seconds`."""
        now = self._clock()
        aged = [{**vars(gaze), "age_seconds": now - since} for gaze, since in list(self._gazes.values())]
        return sorted(aged, key=lambda gaze: gaze["age_seconds"])

    def foci(self) -> list[Focus]:
        """Where browsers look that are in view: at most `MOST_FOCI` directions, those of most browsers first."""
        now = self._clock()
        newest = sorted(self._gazes.values(), key=lambda noted: -noted[1])[:MOST_COMPARED]
        looking = [Focus(gaze.yaw, gaze.pitch, gaze.fov) for gaze, at in newest if now - at <= ACTIVE_SECONDS]
        return merged(sorted(looking, key=lambda one: -sum(same_direction(one, other) for other in looking)))

    async def followed(self) -> AsyncIterator[list[Focus]]:
        """The foci for the link, again and again, as long as anybody looks; without end."""
        while True:
            if foci := self.foci():
                yield foci
            await asyncio.sleep(TELL_SECONDS)
