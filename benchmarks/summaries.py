"""From points per image to what is reported: means, curves, BD-rates and how sure they are."""

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.measures import MEASURES
from benchmarks.points import Point
from panolink.metrics.bdrate import bd_rate

ANCHOR = "jpeg"
RESAMPLINGS = 1000

Measured = dict[str, dict[str, list[Point]]]
"""by codec and setting: one point per image, images in one order"""


def mean(images: Sequence[Point]) -> dict[str, float]:
    """Means over images of bpp and every score, and how many images reached the rate that was asked for."""
    scores = {name: float(np.mean([p.scores[name] for p in images])) for name in images[0].scores}
    return {
        "bpp": float(np.mean([p.bpp for p in images])),
        **scores,
        "images": len(images),
        "reached": sum(p.reached for p in images),
    }


def means(measured: Measured) -> dict[str, dict[str, dict[str, float]]]:
    """``mean`` by codec and setting."""
    return {name: {k: mean(v) for k, v in settings.items()} for name, settings in measured.items()}


def curve_settings(settings: dict[str, list[Point]]) -> list[str]:
    """The settings of a codec's curve: fixed qualities if there are any, else the targets that all images reached."""
    swept = [setting for setting in settings if setting.startswith("q=")]
    return swept or [setting for setting, images in settings.items() if all(p.reached for p in images)]


def bd_rates(measured: Measured, *, seed: int = 0) -> dict[str, dict[str, dict[str, float] | None]]:
    """BD-rate of mean curves against the anchor's in percent, by codec and measure, with a 95 % interval by resampling
    the images; None where curves do not meet."""
    if ANCHOR not in measured:
        return {}
    curves = {
        name: _curves(settings, chosen) for name, settings in measured.items() if (chosen := curve_settings(settings))
    }
    count = len(next(iter(curves[ANCHOR].values()))[0])
    draws = np.random.default_rng(seed).integers(count, size=(RESAMPLINGS, count))
    return {
        name: {measure: _interval(curves[ANCHOR], curve, measure, draws) for measure in curve if measure != "bpp"}
        for name, curve in curves.items()
        if len(curve["bpp"]) > 1
    }


def _curves(settings: dict[str, list[Point]], chosen: list[str]) -> dict[str, np.ndarray]:
    """(settings, images) of bpp and of each score."""
    images = [settings[setting] for setting in chosen]
    names = images[0][0].scores
    scores = {name: np.array([[p.scores[name] for p in row] for row in images]) for name in names}
    return {"bpp": np.array([[p.bpp for p in row] for row in images]), **scores}


def _interval(
    anchor: dict[str, np.ndarray], tested: dict[str, np.ndarray], measure: str, draws: np.ndarray
) -> dict[str, float] | None:
    sign = 1 if MEASURES[measure].higher_is_better else -1

    def of_images(chosen: np.ndarray) -> float:
        sides = [
            (c["bpp"][:, chosen].mean(axis=1), sign * c[measure][:, chosen].mean(axis=1)) for c in (anchor, tested)
        ]
        sides = [_rising(*side) for side in sides]
        if min(len(rates) for rates, _ in sides) < 2:
            return math.nan
        return bd_rate(*(column for side in sides for column in side))

    percent = of_images(np.arange(anchor["bpp"].shape[1]))
    if math.isnan(percent):
        return None
    resampled = np.array([of_images(draw) for draw in draws])
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return {"percent": percent, "low": float(low), "high": float(high)}


def _rising(rates: np.ndarray, quality: np.ndarray) -> tuple[list[float], list[float]]:
    """A curve without its points that cost more and give no more, which Bjøntegaard's measure does not allow."""
    order = np.argsort(rates)
    kept: list[int] = []
    for index in order:
        if not kept or quality[index] > quality[kept[-1]]:
            kept.append(int(index))
    return [float(rates[i]) for i in kept], [float(quality[i]) for i in kept]
