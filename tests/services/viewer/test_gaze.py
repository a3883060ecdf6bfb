"""Gaze directions: their ranges, their ages, and where they are forwarded."""

import math
from typing import Any

import pytest

from panolink.services.viewer.gaze import Gaze, GazeBook, GazeError
from panolink.services.viewer.metrics import ViewerMetrics


@pytest.mark.parametrize("wrong", [181, -181, math.nan, math.inf, "12", None, True, [1]])
def test_a_yaw_out_of_range_is_refused(wrong: Any) -> None:
    with pytest.raises(GazeError, match="yaw"):
        Gaze.from_message({"yaw": wrong, "pitch": 0, "fov": 90})


def test_the_newest_is_first_and_is_forwarded() -> None:
    forwarded: list[Gaze] = []
    book = GazeBook(ViewerMetrics(), forwarded.append)
    book.put(1, Gaze(10.0, 0.0, 90.0))
    book.put(2, Gaze(20.0, -5.0, 60.0))
    assert [gaze["yaw"] for gaze in book.as_list()] == [20.0, 10.0]
    assert all(0 <= gaze["age_seconds"] < 10 for gaze in book.as_list())
    assert [gaze.yaw for gaze in forwarded] == [10.0, 20.0]
    book.forget(2)
    assert [gaze["yaw"] for gaze in book.as_list()] == [10.0]
