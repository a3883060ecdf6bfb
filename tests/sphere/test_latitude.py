import math

import numpy as np
import pytest

from panolink.sphere.focus import Focus, quantized
from panolink.sphere.latitude import latitude_weights, token_weights


def test_latitude_weights():
    weights = latitude_weights(4)
    assert weights.tolist() == pytest.approx([math.cos(math.radians(a)) for a in (67.5, 22.5, 22.5, 67.5)])
    # Each row's share of the sphere: their sum approaches rows × 2/π.
    assert latitude_weights(512).mean().item() == pytest.approx(2 / math.pi, rel=1e-4)


def test_errors_count_by_area_and_less_outside_of_a_focus():
    plain, focused = (token_weights(8, 16, foci) for foci in ((), quantized([Focus(0, 0, 60)])))
    assert plain.dtype == np.float32
    np.testing.assert_allclose(plain[:, 0], np.cos((0.5 - (np.arange(8) + 0.5) / 8) * np.pi), rtol=1e-5)
    share = focused / plain
    assert share[4, 8] == 1 and share[4, 0] < 0.1
