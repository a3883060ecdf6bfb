"""From points per image to what is reported: means, curves, BD-rates and how sure they are."""

import math
from collections.abc import Collection, Sequence

import numpy as np

from benchmarks.lib.quality_measures import MEASURES
from benchmarks.lib.rate_points import Point
from panolink.metrics.bd_rate import bd_rate

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


def bd_rates(
    measured: Measured, anchor: str = ANCHOR, tested: Collection[str] | None = None, *, seed: int = 0
) -> dict[str, dict[str, dict[str, float] | None]]:
    """BD-rate of mean curves against the anchor's in percent, by codec (``tested``, or all) and measure.

    With a 95 % interval by resampling the images, and the range of quality that both reach; None where they reach none.
    ``image_percent``, with its interval, is the mean of the images' own BD-rates: in mean curves at fixed qualities,
    images that take many bits count most, and here each counts alike.
    """
    curves = {
        name: _curves(settings, chosen)
        for name, settings in measured.items()
        if (tested is None or name in tested or name == anchor) and (chosen := curve_settings(settings))
    }
    if anchor not in curves:
        return {}
    count = len(next(iter(curves[anchor].values()))[0])
    draws = np.random.default_rng(seed).integers(count, size=(RESAMPLINGS, count))
    return {
        name: {measure: _interval(curves[anchor], curve, measure, draws) for measure in curve if measure != "bpp"}
        for name, curve in curves.items()
        if len(curve["bpp"]) > 1 and (tested is None or name in tested)
    }


def head_to_head(
    measured: Measured, models: Collection[str]
) -> dict[str, dict[str, dict[str, dict[str, float] | None]]]:
    """``bd_rates`` of each model against each other codec, by model, codec and measure.

    Those against one anchor are over what each codec reaches in common with it, which need not be the same for two.
    """
    others = [name for name in measured if name not in models]
    against = {other: bd_rates(measured, other, models) for other in others}
    return {model: {other: by[model] for other, by in against.items() if model in by} for model in models}


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

    def curves(chosen: np.ndarray) -> list[tuple[list[float], list[float]]]:
        return [
            _rising(c["bpp"][:, chosen].mean(axis=1), sign * c[measure][:, chosen].mean(axis=1))
            for c in (anchor, tested)
        ]

    count = anchor["bpp"].shape[1]

    def rate(sides: list[tuple[list[float], list[float]]]) -> float:
        if min(len(rates) for rates, _ in sides) < 2:
            return math.nan
        return bd_rate(*(column for side in sides for column in side))

    of_all = curves(np.arange(count))
    percent = rate(of_all)
    if math.isnan(percent):
        return None
    resampled = np.array([rate(curves(draw)) for draw in draws])
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    worst, best = max(quality[0] for _, quality in of_all), min(quality[-1] for _, quality in of_all)
    found = {"percent": percent, "low": float(low), "high": float(high), "worst": sign * worst, "best": sign * best}
    of_images = np.array([rate(curves(np.array([image]))) for image in range(count)])
    if not np.isnan(of_images).any():  # each has to meet the anchor's curve
        low, high = np.percentile(of_images[draws].mean(axis=1), [2.5, 97.5])
        found |= {"image_percent": float(of_images.mean()), "image_low": float(low), "image_high": float(high)}
    return found


def _rising(rates: np.ndarray, quality: np.ndarray) -> tuple[list[float], list[float]]:
    """A curve without its points that cost more and give no more, which Bjøntegaard's measure does not allow."""
    order = np.argsort(rates)
    kept: list[int] = []
    for index in order:
        if not kept or quality[index] > quality[kept[-1]]:
            kept.append(int(index))
    return [float(rates[i]) for i in kept], [float(quality[i]) for i in kept]
