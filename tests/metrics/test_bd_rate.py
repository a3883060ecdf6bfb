import math

import numpy as np
import pytest

from panolink.metrics.bd_rate import bd_quality, bd_rate, quality_at

BPP = [0.05, 0.12, 0.3, 0.8]
QUALITY = [22.0, 25.5, 28.4, 31.9]


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7])
def test_a_curve_shifted_in_rate(factor: float):
    shifted = [factor * r for r in BPP]
    assert bd_rate(BPP, QUALITY, shifted, QUALITY) == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_a_curve_shifted_in_quality():
    better = [q + 1.5 for q in QUALITY]
    assert bd_quality(BPP, QUALITY, BPP, better) == pytest.approx(1.5)
    assert bd_rate(BPP, QUALITY, BPP, better) < -20


def test_order_of_points_does_not_matter():
    other = ([0.06, 0.2, 0.7], [23.0, 27.0, 31.0])
    backwards = (other[0][::-1], other[1][::-1])
    assert bd_rate(BPP, QUALITY, *backwards) == bd_rate(BPP, QUALITY, *other)


def test_interpolation_is_straight_over_log_rate_and_never_overshoots():
    assert quality_at(math.sqrt(0.1 * 0.4), [0.1, 0.4], [20.0, 26.0]) == pytest.approx(23.0)
    bpp, quality = [0.05, 0.1, 0.11, 0.8], [20.0, 20.1, 30.0, 30.2]
    steep = [quality_at(rate, bpp, quality) for rate in np.linspace(0.06, 0.79, 50)]
    assert steep == sorted(steep) and steep[0] > 20 and steep[-1] < 30.2


def test_outside_the_measured_range():
    assert math.isnan(quality_at(0.04, BPP, QUALITY))
    assert quality_at(0.05, BPP, QUALITY) == 22.0
    assert quality_at(0.8, BPP, QUALITY) == 31.9
    assert math.isnan(bd_rate(BPP, QUALITY, BPP, [q + 20 for q in QUALITY]))


@pytest.mark.parametrize("bpp, quality", [([0.1], [20.0]), ([0.1, 0.1], [20.0, 21.0]), ([0.0, 0.1], [20.0, 21.0])])
def test_curves_that_make_no_sense(bpp: list[float], quality: list[float]):
    with pytest.raises(ValueError):
        quality_at(0.1, bpp, quality)
