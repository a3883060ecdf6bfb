"""Frames in their own time."""

import threading
import time
from collections.abc import Iterator

import pytest

from panolink.errors import ImageError
from panolink.images.newest_frame import NewestFrame, paced


def test_who_is_slow_gets_the_newest():
    read = threading.Event()

    def frames() -> Iterator[int]:
        yield from range(100)
        read.set()
        time.sleep(0.05)

    newest = NewestFrame(frames())
    assert read.wait(5)
    before = time.time()
    assert list(newest) == [99] and newest.skipped == 99
    assert abs(newest.captured_at - before) < 5


def test_errors_come_after_the_frames_before_them():
    def frames() -> Iterator[int]:
        yield 1
        raise ImageError("broken")

    newest = NewestFrame(frames())
    newest._thread.join(5)
    with pytest.raises(ImageError, match="broken"):
        list(newest)


def test_frames_come_when_they_are_due():
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    timed = [(0.0, "a"), (0.5, "b"), (1.0, "c"), (1.25, "d"), (3.0, "e")]
    given = []
    for seconds, frame in paced(iter(timed), 0.5, clock=lambda: now[0], sleep=sleep):
        given.append((seconds, frame))
        if frame == "c":
            now[0] += 1.0  # whoever reads is slow: the next one is due already, and the one after it is on time again
    assert given == timed and slept == [0.5, 1.0]


def test_a_jump_of_the_times_is_not_slept_through():
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    timed = [(0.0, "a"), (3600.0, "b"), (3600.5, "c")]
    assert list(paced(iter(timed), clock=lambda: now[0], sleep=sleep)) == timed
    assert slept == [10.0, 0.5]
