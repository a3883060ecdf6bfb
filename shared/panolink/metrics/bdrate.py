"""Bjøntegaard's measures: how much rate a codec saves, or how much quality it gains, against another one.

Rates are taken as logarithms and the curves interpolated by monotone piecewise cubics (PCHIP, as in JCT-VC's later
practice) rather than by one polynomial of third degree, which swings between distant points.
"""

from collections.abc import Sequence

import numpy as np


def bd_rate(
    anchor_bpp: Sequence[float], anchor_quality: Sequence[float], bpp: Sequence[float], quality: Sequence[float]
) -> float:
    """Mean difference in rate at equal quality, in percent of the anchor's: −30 means 30 % fewer bits.

    Args:
        anchor_bpp, anchor_quality: points of the anchor's curve, at least two, in any order.
        bpp, quality: points of the tested curve. Quality is in any unit (dB, SSIM) that grows with the rate.

    Returns:
        Percent, over the range of quality that both curves reach; NaN where they reach none in common.
    """
    anchor = _Curve(anchor_quality, np.log(_positive(anchor_bpp)))
    tested = _Curve(quality, np.log(_positive(bpp)))
    return float(100 * np.expm1(_mean_difference(anchor, tested)))


def bd_quality(
    anchor_bpp: Sequence[float], anchor_quality: Sequence[float], bpp: Sequence[float], quality: Sequence[float]
) -> float:
    """Mean difference in quality at equal rate (BD-PSNR), in the unit of quality; arguments as for `bd_rate`."""
    anchor = _Curve(np.log(_positive(anchor_bpp)), anchor_quality)
    tested = _Curve(np.log(_positive(bpp)), quality)
    return _mean_difference(anchor, tested)


def quality_at(target_bpp: float, bpp: Sequence[float], quality: Sequence[float]) -> float:
    """Quality of a curve at one rate, interpolated over log rate; NaN outside the range that was measured."""
    curve = _Curve(np.log(_positive(bpp)), quality)
    x = float(np.log(target_bpp))
    # The logarithm of an end point may differ from itself in the last digit.
    if not curve.x[0] - 1e-9 <= x <= curve.x[-1] + 1e-9:
        return float("nan")
    return float(curve(np.array([x]))[0])


class _Curve:
    """A monotone piecewise cubic y(x) through points, ends included (Fritsch and Carlson 1980, Butland's slopes)."""

    def __init__(self, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> None:
        if len(x) != len(y) or len(x) < 2:
            raise ValueError(f"a rate curve needs two points or more, as many rates as qualities; got {len(x)}, {len(y)}")
        order = np.argsort(np.asarray(x, dtype=np.float64), kind="stable")
        self.x = np.asarray(x, dtype=np.float64)[order]
        self.y = np.asarray(y, dtype=np.float64)[order]
        if not np.all(np.isfinite(self.x)) or not np.all(np.isfinite(self.y)) or np.any(np.diff(self.x) <= 0):
            raise ValueError("points of a rate curve have to be finite, no two at the same place")
        self.slopes = self._slopes()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        i = np.clip(np.searchsorted(self.x, x, side="right") - 1, 0, len(self.x) - 2)
        width = self.x[i + 1] - self.x[i]
        t = (x - self.x[i]) / width
        return (
            (1 + 2 * t) * (1 - t) ** 2 * self.y[i]
            + t * (1 - t) ** 2 * width * self.slopes[i]
            + t**2 * (3 - 2 * t) * self.y[i + 1]
            + t**2 * (t - 1) * width * self.slopes[i + 1]
        )

    def _slopes(self) -> np.ndarray:
        width = np.diff(self.x)
        secant = np.diff(self.y) / width
        slopes = np.empty_like(self.x)
        slopes[0], slopes[-1] = secant[0], secant[-1]
        left, right = secant[:-1], secant[1:]
        w1, w2 = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            harmonic = (w1 + w2) / (w1 / left + w2 / right)
        slopes[1:-1] = np.where(left * right > 0, harmonic, 0.0)
        if len(self.x) > 2:
            slopes[0] = _end_slope(width[0], width[1], secant[0], secant[1])
            slopes[-1] = _end_slope(width[-1], width[-2], secant[-1], secant[-2])
        return slopes


def _end_slope(near: float, far: float, secant: float, next_secant: float) -> float:
    """Three-point slope at an end, held back so that the curve stays monotone."""
    slope = ((2 * near + far) * secant - near * next_secant) / (near + far)
    if slope * secant <= 0:
        return 0.0
    if secant * next_secant <= 0 and abs(slope) > 3 * abs(secant):
        return 3 * secant
    return slope


def _mean_difference(anchor: _Curve, tested: _Curve) -> float:
    low, high = max(anchor.x[0], tested.x[0]), min(anchor.x[-1], tested.x[-1])
    if low >= high:
        return float("nan")
    # Piecewise cubic, so that a fine trapezoid is exact enough and needs no antiderivative.
    x = np.linspace(low, high, 2001)
    return float(np.trapezoid(tested(x) - anchor(x), x) / (high - low))


def _positive(bpp: Sequence[float]) -> np.ndarray:
    rates = np.asarray(bpp, dtype=np.float64)
    if np.any(rates <= 0):
        raise ValueError(f"rates have to be above 0 bpp, got {rates.min():g}")
    return rates
