"""Frames in their own time: whoever is too slow for all of them gets the newest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

STOP_SECONDS = 11.0
"""for which `NewestFrame.stop` waits: sources give up after ten seconds without a frame"""

_LONGEST_PAUSE = 10.0
"""seconds between two frames: what is further ahead is a jump of the stream's times"""


def paced(
    timed: Iterator[tuple[float, Any]],
    start: float = 0.0,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[float, Any]]:
    """Frames of a file with their times in seconds, each when it is due, as a camera would give them; ten seconds after
    the one before at the latest.

    Parameters
    ----------
    timed : Iterator[tuple[float, Any]]
        As they are decoded.
    start : float
        The first time that is waited for; what is before it comes at once.
    clock, sleep
        Of seconds.
    """
    began = None
    for seconds, frame in timed:
        if seconds >= start:
            began = clock() - seconds if began is None else began
            if (wait := began + seconds - clock()) > 0:
                sleep(min(wait, _LONGEST_PAUSE))
                began -= max(0.0, wait - _LONGEST_PAUSE)
        yield seconds, frame


class NewestFrame:
    """Reads frames in a thread, and hands out the newest; an iterator that ends when they do, or raises what they do.

    Parameters
    ----------
    frames : Iterator[Any]
        As they are decoded. They are read without a pause: a source that is live does not wait.

    Attributes
    ----------
    skipped
        Frames that were left out since the one that was handed out before the last.
    captured_at
        When the one handed out last was read, seconds since 1970.
    """

    def __init__(self, frames: Iterator[Any]) -> None:
        self.skipped = 0
        self.captured_at = 0.0
        self._frames = frames
        self._newest: tuple[Any, float] | None = None
        self._left_out = 0
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="live input", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._ended)
                newest, self._newest = self._newest, None
                if newest is None:
                    if self._error:
                        raise self._error
                    return
                self.skipped, self._left_out = self._left_out, 0
            frame, self.captured_at = newest
            yield frame

    def stop(self) -> None:
        """Stop reading; returns when the thread has, which is with its next frame, or when nothing comes any more."""
        self._stopped = True
        self._thread.join(STOP_SECONDS)

    def _read(self) -> None:
        try:
            for frame in self._frames:
                if self._stopped:
                    break
                with self._changed:
                    self._left_out += self._newest is not None
                    self._newest = frame, time.time()
                    self._changed.notify()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify()
