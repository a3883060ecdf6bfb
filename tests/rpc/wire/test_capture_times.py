import math
import time

import pytest

from panolink.rpc.wire.capture_times import LONGEST_AGE_SECONDS, age_of, capture_time


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e11, math.inf, -math.inf, math.nan])
def test_what_is_no_moment_is_not_known(seconds: float):
    assert capture_time(seconds) == 0.0
    assert age_of(capture_time(seconds)) is None


def test_ages_by_a_clock_that_is_nearly_the_same():
    assert capture_time(1.7e9) == 1.7e9
    assert age_of(100.0, 100.25) == 0.25 and age_of(100.5, 100.25) == 0.0
    assert age_of(100.0, 100 + LONGEST_AGE_SECONDS) == LONGEST_AGE_SECONDS
    assert age_of(100.0, 161.0) is age_of(102.0, 100.0) is age_of(math.nan, 100.0) is None
    age = age_of(time.time())
    assert age is not None and age < 30
