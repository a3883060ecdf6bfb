import numpy as np
import pytest

from benchmarks.codec.rate_distortion_summary import bd_rates, head_to_head
from benchmarks.lib.rate_points import Point


def curve(bits: list[float], *, worse: float = 1.0) -> dict[str, list[Point]]:
    """Six qualities of images, each of which takes its bits, a constant factor more."""
    qualities = np.linspace(28, 38, 6)
    return {
        f"q={number}": [
            Point(float(worse * scale * 2 ** (quality / 3)), {"vpsnr_db": float(quality)}, True) for scale in bits
        ]
        for number, quality in enumerate(qualities)
    }


def test_each_image_counts_alike_whatever_it_takes():
    """One image takes a hundred times the bits of the other: the mean curve is that one's."""
    easy, hard = curve([1.0], worse=1.5), curve([100.0], worse=0.9)
    tested = {setting: easy[setting] + hard[setting] for setting in easy}
    measured = {"jpeg": curve([1.0, 100.0]), "base": tested}
    found = bd_rates(measured)["base"]["vpsnr_db"]
    assert found and found["image_percent"] == pytest.approx((50 - 10) / 2, abs=0.1)
    assert found["percent"] == pytest.approx(-9.4, abs=0.3)
    assert found["image_low"] == pytest.approx(-10, abs=0.1) and found["image_high"] == pytest.approx(50, abs=0.1)
    again = head_to_head(measured, ["base"])["base"]["jpeg"]["vpsnr_db"]
    assert again == found


def test_an_image_whose_curves_do_not_meet_leaves_the_mean_out():
    apart = curve([1.0])
    for points in apart.values():
        points[0].scores["vpsnr_db"] += 50
    measured = {"jpeg": curve([1.0, 1.0]), "base": {s: curve([1.0])[s] + apart[s] for s in apart}}
    found = bd_rates(measured)["base"]["vpsnr_db"]
    assert found is None or "image_percent" not in found
