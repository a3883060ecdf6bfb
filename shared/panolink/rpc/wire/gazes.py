"""Where viewers look: checked, kept for a while, and merged into the foci of a picture."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from panolink.errors import RateError
from panolink.sphere.focus import DEFAULT_WIDTH, MOST_FOCI, Focus, quantized
from panolink.v1 import link_pb2, transmitter_pb2

MOST_GAZES = 8
"""in a receipt"""

LONGEST_AGE_SECONDS = 2.0
"""after which a gaze says nothing any more"""

DEGREES_PER_SECOND = 45.0
"""by which a focus is widened for each second of a gaze's age: nine of ten heads turn less"""

_SAME_DEGREES = 20.0
"""gazes that are closer together share a focus"""


def focus_from_wire(message: transmitter_pb2.Focus) -> Focus:
    """A focus as a request has it; `RateError` where it is none."""
    return Focus(message.yaw, message.pitch, message.width or DEFAULT_WIDTH)


def focus_to_wire(focus: Focus) -> transmitter_pb2.Focus:
    """A focus as a message."""
    return transmitter_pb2.Focus(yaw=focus.yaw, pitch=focus.pitch, width=focus.width)


def gaze_to_wire(focus: Focus) -> link_pb2.Gaze:
    """Where a viewer looks now, as a message; yaw within half a turn."""
    return link_pb2.Gaze(yaw=(focus.yaw + 180) % 360 - 180, pitch=focus.pitch, width=focus.width)


def merged(foci: Iterable[Focus], first: Iterable[Focus] = ()) -> list[Focus]:
    """At most `MOST_FOCI`: those in ``first``, then those of ``foci`` that are where none before is, in order."""
    chosen = list(first)[:MOST_FOCI]
    for focus in foci:
        if len(chosen) < MOST_FOCI and not any(same_direction(focus, other) for other in chosen):
            chosen.append(focus)
    return chosen


def checked_gaze(message: link_pb2.Gaze) -> link_pb2.Gaze:
    """A gaze, if it is one.

    Raises
    ------
    RateError
        A number that is not finite or out of its range; the message says which.
    """
    if not abs(message.yaw) <= 360:
        raise RateError(f"yaw of a gaze is {message.yaw}; it must be from -360 to 360 degrees")
    Focus(message.yaw, message.pitch, message.width or DEFAULT_WIDTH)
    return link_pb2.Gaze(yaw=message.yaw, pitch=message.pitch, width=message.width or DEFAULT_WIDTH)


class GazeBook:
    """The last gaze of each viewer of a receiver, or gazes where several look through it.

    Parameters
    ----------
    clock : callable
        Seconds; monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gazes: dict[object, tuple[list[link_pb2.Gaze], float]] = {}

    def look(self, viewer: object, *gazes: link_pb2.Gaze) -> None:
        """Note where a viewer looks now.

        Raises
        ------
        RateError
            More than `MOST_FOCI`, or as of `checked_gaze`; nothing is noted then.
        """
        if len(gazes) > MOST_FOCI:
            raise RateError(f"{len(gazes)} gazes of a viewer; at most {MOST_FOCI} are allowed")
        self._gazes[viewer] = [checked_gaze(gaze) for gaze in gazes], self._clock()

    def leave(self, viewer: object) -> None:
        """Forget a viewer."""
        self._gazes.pop(viewer, None)

    def recent(self) -> list[link_pb2.Gaze]:
        """At most `MOST_GAZES` gazes with their ages, the newest first."""
        now = self._clock()
        found = sorted(self._gazes.values(), key=lambda noted: -noted[1])
        gazes = []
        for gaze, at in [(gaze, at) for noted, at in found for gaze in noted][:MOST_GAZES]:
            aged = link_pb2.Gaze()
            aged.CopyFrom(gaze)
            aged.age_seconds = now - at
            gazes.append(aged)
        return gazes


class GazeTrail:
    """Gazes that receipts tell of, as foci: aged, merged and widened.

    Parameters
    ----------
    clock : callable
        Seconds; monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gazes: deque[tuple[link_pb2.Gaze, float]] = deque(maxlen=MOST_GAZES)

    def learn(self, gazes: Sequence[link_pb2.Gaze]) -> None:
        """Take over what a receipt says; what makes no sense in it is left out, and none at all teaches nothing."""
        found = []
        for gaze in gazes[:MOST_GAZES]:
            try:
                checked = checked_gaze(gaze)
            except RateError:
                continue
            if math.isfinite(gaze.age_seconds) and gaze.age_seconds >= 0:
                found.append((checked, self._clock() - gaze.age_seconds))
        if found:
            self._gazes = deque(found, maxlen=MOST_GAZES)

    @property
    def age(self) -> float | None:
        """Seconds since the newest gaze that is young enough to be used; None where there is none."""
        age = min((self._clock() - at for _, at in self._gazes), default=math.inf)
        return age if age <= LONGEST_AGE_SECONDS else None

    def foci(self, first: Iterable[Focus] = ()) -> tuple[Focus, ...]:
        """Foci of a picture: those in ``first``, then gazes that are young enough, widened by their age."""
        now = self._clock()
        aged = [
            Focus(gaze.yaw, gaze.pitch, min(gaze.width + 2 * DEGREES_PER_SECOND * (now - at), 360.0))
            for gaze, at in sorted(self._gazes, key=lambda noted: -noted[1])
            if now - at <= LONGEST_AGE_SECONDS
        ]
        return quantized(merged(aged, first))


def same_direction(one: Focus, other: Focus) -> bool:
    """Whether two directions are so close together that they share a focus."""
    up, other_up = math.radians(one.pitch), math.radians(other.pitch)
    towards = math.radians(one.yaw - other.yaw)
    cosine = math.sin(up) * math.sin(other_up) + math.cos(up) * math.cos(other_up) * math.cos(towards)
    return math.degrees(math.acos(min(max(cosine, -1.0), 1.0))) <= _SAME_DEGREES
