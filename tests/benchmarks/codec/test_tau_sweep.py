import numpy as np
import pytest

from benchmarks.codec.tau_sweep import CHOSEN, TAUS, curves
from panolink import Codec


@pytest.mark.slow
def test_quality_rises_with_the_share_kept(panorama: np.ndarray):
    found = curves(Codec.load("base", device="cpu"), panorama, [4], None)
    assert set(found) == {"step 4", CHOSEN}
    shares, bits, decibels = zip(*found["step 4"], strict=True)
    assert shares == pytest.approx(TAUS, abs=0.01)
    assert decibels[0] < decibels[3] < decibels[5] and bits[0] < bits[3] < bits[5]
