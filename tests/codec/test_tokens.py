import numpy as np

from panolink.codec.tokens import steps_of_rows


def test_steps_grow_towards_the_poles():
    steps = steps_of_rows(32)
    assert np.array_equal(steps, steps[::-1])
    assert steps[15] == 0 and steps[0] > steps[8] > 0
    assert (np.diff(steps[:16]) <= 0).all()
