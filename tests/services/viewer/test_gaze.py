"""Gaze directions: their ranges, their ages, and what the link is told."""

import asyncio
import math
from typing import Any

import pytest

from panolink.services.viewer.gaze import ACTIVE_SECONDS, MOST_COMPARED, TELL_SECONDS, Gaze, GazeBook, GazeError
from panolink.services.viewer.metrics import ViewerMetrics
from panolink.sphere.focus import MOST_FOCI, Focus


@pytest.mark.parametrize("wrong", [181, -181, math.nan, math.inf, "12", None, True, [1]])
def test_a_yaw_out_of_range_is_refused(wrong: Any) -> None:
    with pytest.raises(GazeError, match="yaw"):
        Gaze.from_message({"yaw": wrong, "pitch": 0, "fov": 90})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_is_first() -> None:
    clock = Clock()
    book = GazeBook(ViewerMetrics(), clock)
    book.put(1, Gaze(10.0, 0.0, 90.0))
    clock.now = 1.0
    book.put(2, Gaze(20.0, -5.0, 60.0))
    assert [(gaze["yaw"], gaze["age_seconds"]) for gaze in book.as_list()] == [(20.0, 0.0), (10.0, 1.0)]
    book.forget(2)
    assert [gaze["yaw"] for gaze in book.as_list()] == [10.0]


def test_the_link_is_told_four_directions_at_most_those_of_most_browsers_first() -> None:
    book = GazeBook(ViewerMetrics(), Clock())
    for browser, yaw in enumerate((0.0, 60.0, 120.0, 170.0, -60.0, -65.0, -110.0)):
        book.put(browser, Gaze(yaw, 0.0, 90.0))
    assert len(book.foci()) == MOST_FOCI
    assert book.foci()[0] == Focus(-60.0, 0.0, 90.0)
    assert Focus(-65.0, 0.0, 90.0) not in book.foci()  # it is as good as the one beside it


def test_of_many_browsers_the_newest_gazes_are_looked_at() -> None:
    """Each is compared with each, ten times a second, whatever number of browsers is allowed."""
    clock = Clock()
    book = GazeBook(ViewerMetrics(), clock)
    for browser in range(2 * MOST_COMPARED):
        clock.now += 0.001
        book.put(browser, Gaze(120.0 if browser < MOST_COMPARED else 0.0, 0.0, 90.0))
    assert book.foci() == [Focus(0.0, 0.0, 90.0)]
    clock.now += 0.001
    book.put(0, Gaze(120.0, 0.0, 90.0))
    assert book.foci() == [Focus(0.0, 0.0, 90.0), Focus(120.0, 0.0, 90.0)]


async def test_a_browser_that_says_nothing_looks_nowhere() -> None:
    clock = Clock()
    book = GazeBook(ViewerMetrics(), clock)
    followed = aiter(book.followed())
    book.put(1, Gaze(30.0, 5.0, 80.0))
    assert await anext(followed) == [Focus(30.0, 5.0, 80.0)]
    assert await asyncio.wait_for(anext(followed), 5) == [Focus(30.0, 5.0, 80.0)]  # again, so that it stays young
    clock.now = ACTIVE_SECONDS + 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(followed), 3 * TELL_SECONDS)
