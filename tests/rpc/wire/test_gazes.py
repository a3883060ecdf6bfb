import math

import pytest

from panolink.errors import RateError
from panolink.rpc.wire.gazes import (
    DEGREES_PER_SECOND,
    LONGEST_AGE_SECONDS,
    MOST_GAZES,
    GazeBook,
    GazeTrail,
    checked_gaze,
    focus_from_wire,
    focus_to_wire,
)
from panolink.sphere.focus import MOST_FOCI, Focus
from panolink.v1 import link_pb2


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def gaze(yaw: float, pitch: float = 0, *, age: float = 0.0, width: float = 90) -> link_pb2.Gaze:
    return link_pb2.Gaze(yaw=yaw, pitch=pitch, age_seconds=age, width=width)


@pytest.mark.parametrize(
    ("yaw", "pitch", "width"), [(361, 0, 90), (math.nan, 0, 90), (0, 91, 90), (0, 0, -1), (0, 0, 999)]
)
def test_gazes_out_of_range_are_refused(yaw: float, pitch: float, width: float):
    with pytest.raises(RateError):
        checked_gaze(gaze(yaw, pitch, width=width))


def test_a_width_that_is_not_told_is_a_viewports():
    assert checked_gaze(link_pb2.Gaze(yaw=5)).width == 90


def test_a_book_has_the_newest_of_each_viewer_with_its_age():
    clock = Clock()
    book = GazeBook(clock)
    book.look("a", gaze(1))
    clock.now = 2
    book.look("b", gaze(2))
    book.look("a", gaze(3))
    clock.now = 3
    assert sorted((one.yaw, one.age_seconds) for one in book.recent()) == [(2, 1), (3, 1)]
    book.leave("a")
    assert [one.yaw for one in book.recent()] == [2]
    for viewer in range(3 * MOST_GAZES):
        book.look(viewer, gaze(viewer))
    assert len(book.recent()) == MOST_GAZES


def test_several_may_look_through_one_viewer():
    book = GazeBook(Clock())
    book.look("a", gaze(1), gaze(50))
    assert [one.yaw for one in book.recent()] == [1, 50]
    with pytest.raises(RateError, match="at most 4"):
        book.look("a", *map(gaze, range(MOST_FOCI + 1)))
    assert len(book.recent()) == 2


def test_a_trail_ages_and_widens():
    clock = Clock()
    trail = GazeTrail(clock)
    assert trail.foci() == () and trail.age is None
    trail.learn([gaze(40, 10, age=0.5)])
    (focus,) = trail.foci()
    assert abs(focus.yaw - 40) < 1 and focus.width == pytest.approx(90 + 2 * DEGREES_PER_SECOND * 0.5, abs=1)
    clock.now = 0.25
    assert trail.age == pytest.approx(0.75)
    clock.now += LONGEST_AGE_SECONDS
    assert trail.age is None and trail.foci() == (), "nobody watches any more"
    clock.now -= LONGEST_AGE_SECONDS
    clock.now = LONGEST_AGE_SECONDS
    assert trail.foci() == ()


def test_gazes_close_together_share_a_focus_and_there_are_at_most_four():
    trail = GazeTrail(Clock())
    trail.learn([gaze(0), gaze(5), gaze(100), gaze(-100), gaze(180), gaze(50, 60)])
    assert len(trail.foci()) == MOST_FOCI
    assert len(trail.foci([Focus(0, 0)])) == MOST_FOCI


def test_what_makes_no_sense_in_a_receipt_is_left_out():
    trail = GazeTrail(Clock())
    trail.learn([gaze(math.nan), gaze(0, age=math.inf), gaze(0, age=-1)])
    assert trail.foci() == ()
    trail.learn([gaze(30)])
    trail.learn([])
    assert len(trail.foci()) == 1


def test_foci_survive_the_wire():
    for focus in (Focus(10, 20, 30), Focus(-170, -80)):
        assert focus_from_wire(focus_to_wire(focus)) == focus
