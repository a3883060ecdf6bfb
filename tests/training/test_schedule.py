import pytest

from panolink.training.schedule import LONGEST_STEP, Schedule, WorkingClock


def test_rises_stays_and_falls_over_the_last_fifth():
    schedule = Schedule(minutes=10, warm_up=10)
    assert schedule.rate(schedule.progress(0, 0.0), 0) == pytest.approx(0.1)
    assert schedule.rate(schedule.progress(500, 7.9), 500) == 1
    falling = [schedule.rate(schedule.progress(500, minutes), 500) for minutes in (8.5, 9, 9.5, 10)]
    assert falling == sorted(falling, reverse=True) and 0 < falling[0] < 1 and falling[-1] == 0


def test_whichever_limit_comes_first_counts():
    schedule = Schedule(minutes=10, steps=100)
    assert schedule.progress(50, 1.0) == 0.5 and schedule.progress(10, 5.0) == 0.5


def test_without_an_end_the_rate_stays():
    schedule = Schedule(warm_up=1)
    assert schedule.progress(10**9, 1e9) == 0 and schedule.rate(0.0, 10**9) == 1


def test_finishing_falls_from_the_first_step():
    schedule = Schedule(minutes=10, warm_up=1, decay_share=1.0)
    assert schedule.rate(schedule.progress(0, 0.0), 5) == 1
    assert schedule.rate(schedule.progress(0, 2.5), 5) == pytest.approx(0.5)


def test_a_pause_takes_none_of_a_run_s_time():
    times = iter([0.0, 60.0, 120.0, 3720.0, 3780.0])
    clock = WorkingClock(lambda: next(times))
    assert [clock.minutes() for _ in range(2)] == [1, 2], "steps may be long"
    clock.continued()
    assert [clock.minutes() for _ in range(2)] == [2 + LONGEST_STEP / 60, 3 + LONGEST_STEP / 60]
