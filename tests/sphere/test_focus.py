import zlib

import numpy as np
import pytest

from panolink.errors import RateError
from panolink.sphere.focus import MOST_STEPS, Focus, focus_steps, quantized


def test_without_a_focus_all_is_as_fine():
    assert not focus_steps(8, 16, ()).any()


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (90, 45), (-179, -60), (720.5, 90), (10, -90)])
def test_tokens_are_finest_where_somebody_looks(yaw: float, pitch: float):
    rows, cols = 32, 64
    steps = focus_steps(rows, cols, quantized([Focus(yaw, pitch, 60)]))
    latitude = np.radians(90 - 180 * (np.arange(rows) + 0.5) / rows)[:, None]
    longitude = np.radians(360 * (np.arange(cols) + 0.5) / cols - 180)[None]
    up, towards = np.radians(pitch), np.radians(yaw)
    cosine = np.sin(latitude) * np.sin(up) + np.cos(latitude) * np.cos(up) * np.cos(longitude - towards)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert steps[angle < 27].max() == 0 and steps[angle > 34].min() > 0
    assert steps.max() == MOST_STEPS
    order = np.argsort(angle, axis=None)
    far = np.maximum.accumulate(steps.ravel()[order])
    assert (far - steps.ravel()[order]).max() <= 1  # never finer farther away, but for rounding


def test_nearest_focus_counts():
    one, other = quantized([Focus(-90, 0)]), quantized([Focus(90, 30)])
    both = focus_steps(16, 32, one + other)
    assert np.array_equal(both, np.minimum(focus_steps(16, 32, one), focus_steps(16, 32, other)))


def test_steps_are_the_same_on_every_host():
    """What this says was found on one machine; another that differs would decode pictures of noise."""
    steps = focus_steps(48, 96, quantized([Focus(33, -21, 100), Focus(-140, 70, 20)]))
    assert zlib.crc32(steps.astype(np.uint8).tobytes()) == 985374819


def test_bytes_bring_back_what_is_quantized():
    for focus in quantized([Focus(-180, 90, 360), Focus(359.9, -90, 0.1), Focus(12.3, 4.5, 90)]):
        assert Focus.from_bytes(focus.to_bytes()) == focus
    assert quantized([Focus(0, 0), Focus(360, 0)]) == quantized([Focus(0, 0)])


def test_parse():
    assert Focus.parse("90,-10") == Focus(90, -10) and Focus.parse("90,-10,60") == Focus(90, -10, 60)


@pytest.mark.parametrize("text", ["", "90", "a,b", "0,91", "nan,0", "0,0,0", "0,0,361", "1,2,3,4", "inf,0"])
def test_what_is_no_focus_is_refused(text: str):
    with pytest.raises(RateError, match=r"focus"):
        Focus.parse(text)


def test_too_many_are_refused():
    with pytest.raises(RateError, match="at most 4"):
        quantized([Focus(k, 0) for k in range(0, 50, 10)])
