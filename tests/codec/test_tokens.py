import numpy as np

from panolink.codec.tokens import steps_of_rows
from panolink.sphere.latitude import latitudes


def test_steps_grow_towards_the_poles():
    steps = steps_of_rows(32)
    assert np.array_equal(steps, steps[::-1])
    assert steps[15] == 0 and steps[0] > steps[8] > 0
    assert (np.diff(steps[:16]) <= 0).all()


def test_steps_follow_the_area_of_a_row():
    """Two quarter octaves coarser for each halving of the cosine, as formulas have it."""
    for rows in (1, 7, 64, 1024):
        area = np.cos(latitudes(rows).numpy().astype(np.float64))
        assert np.array_equal(steps_of_rows(rows), np.rint(-2 * np.log2(np.maximum(area, 2.0**-4))))
