"""Rate and end of a run: warm-up, constant rate, and a decay to zero once the end is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_STEP = 30.0
"""seconds that a step may count during which the process was stopped"""


class WorkingClock:
    """Time that a run takes, without that for which its process was stopped.

    Parameters
    ----------
    now : callable
        Seconds of a clock that goes on.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._last, self._seconds, self._stopped = now, now(), 0.0, False

    def minutes(self) -> float:
        """Minutes so far; to be asked with every step."""
        last, self._last = self._last, self._now()
        passed = self._last - last
        self._seconds += min(passed, LONGEST_STEP) if self._stopped else passed
        self._stopped = False
        return self._seconds / 60

    def continued(self, *_: object) -> None:
        """The process was stopped, and goes on: a handler of SIGCONT."""
        self._stopped = True


@dataclass(frozen=True)
class Schedule:
    """How far a run is and which share of its learning rates holds there.

    Parameters
    ----------
    minutes, steps
        Length of the run; 0 is no limit, both 0 a run without an end. Whichever comes first counts.
    warm_up
        Steps from the run's first over which the rate rises.
    decay_share
        The last share of the run, over which the rate falls to zero as 1 − √x (Hägele et al. 2024); 1: all of it.
    """

    minutes: float = 0.0
    steps: int = 0
    warm_up: int = 200
    decay_share: float = 0.2

    def progress(self, steps: int, minutes: float) -> float:
        """How much of a run is over: 0 at the start, 1 at its end; 0 for ever without an end.

        Parameters
        ----------
        steps : int
            Taken so far.
        minutes : float
            Spent so far.
        """
        by_steps = steps / self.steps if self.steps else 0.0
        by_time = minutes / self.minutes if self.minutes else 0.0
        return max(by_steps, by_time)

    def rate(self, progress: float, step: int) -> float:
        """Factor of the learning rates.

        Parameters
        ----------
        progress : float
            0 … 1.
        step : int
            Steps after the weights' first, counted from 0.
        """
        warm = min(1.0, (step + 1) / max(self.warm_up, 1))
        decayed = min(max((progress - 1 + self.decay_share) / self.decay_share, 0.0), 1.0) if self.decay_share else 0.0
        return warm * (1 - decayed**0.5)
