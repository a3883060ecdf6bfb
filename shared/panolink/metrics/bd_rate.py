"""Bjøntegaard deltas (BD-rate, BD-PSNR): rate that a codec saves, or quality that it gains, against another one.

Rates are taken as logarithms and the curves interpolated by monotone piecewise cubics (PCHIP, as in JCT-VC's
later practice) rather than by one polynomial of third degree, which swings between distant points.
"""

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

Points = Sequence[float]


def bd_rate(anchor_bpp: Points, anchor_quality: Points, bpp: Points, quality: Points) -> float:
    """Mean difference in rate at equal quality, in percent of the anchor's: −30 means 30 % fewer bits.

    Parameters
    ----------
    anchor_bpp, anchor_quality : sequence of float
        Points of the anchor's curve, at least two, in any order.
    bpp, quality : sequence of float
        Points of the tested curve. Quality is in any unit (dB, SSIM) that grows with the rate.

    Returns
    -------
    float
        Percent, over the range of quality that both curves reach; NaN where they reach none in common.

    Raises
    ------
    ValueError
        Fewer than two points, two at the same place, or a rate of zero.
    """
    anchor = _curve(anchor_quality, _log(anchor_bpp))
    tested = _curve(quality, _log(bpp))
    return float(100 * np.expm1(_mean_difference(anchor, tested)))


def bd_quality(anchor_bpp: Points, anchor_quality: Points, bpp: Points, quality: Points) -> float:
    """Mean difference in quality at equal rate (BD-PSNR), in its unit; the rest as for `bd_rate`.

    Parameters
    ----------
    anchor_bpp, anchor_quality : sequence of float
        The curve that is compared with.
    bpp, quality : sequence of float
        The curve.
    """
    return _mean_difference(_curve(_log(anchor_bpp), anchor_quality), _curve(_log(bpp), quality))


def quality_at(target_bpp: float, bpp: Points, quality: Points) -> float:
    """Quality of a curve at a rate, interpolated over log rate.

    Parameters
    ----------
    target_bpp : float
    bpp, quality : sequence of float
        The curve.

    Returns
    -------
    float
        NaN outside the range that was measured.
    """
    return float(_curve(_log(bpp), quality)(_log([target_bpp])[0]))


def _curve(x: Points | np.ndarray, y: Points | np.ndarray) -> PchipInterpolator:
    order = np.argsort(x)
    return PchipInterpolator(np.asarray(x)[order], np.asarray(y)[order], extrapolate=False)


def _mean_difference(anchor: PchipInterpolator, tested: PchipInterpolator) -> float:
    low, high = max(anchor.x[0], tested.x[0]), min(anchor.x[-1], tested.x[-1])
    if low >= high:
        return float("nan")
    return float(tested.integrate(low, high) - anchor.integrate(low, high)) / (high - low)


def _log(bpp: Points) -> np.ndarray:
    rates = np.asarray(bpp, dtype=np.float64)
    if np.any(rates <= 0):
        raise ValueError(f"rates have to be above 0 bpp, got {rates.min():g}")
    return np.log(rates)
