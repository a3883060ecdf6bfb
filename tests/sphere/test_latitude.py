import math

import pytest

from panolink.sphere.latitude import latitude_weights


def test_latitude_weights():
    weights = latitude_weights(4)
    assert weights.tolist() == pytest.approx([math.cos(math.radians(a)) for a in (67.5, 22.5, 22.5, 67.5)])
    # Each row's share of the sphere: their sum approaches rows × 2/π.
    assert latitude_weights(512).mean().item() == pytest.approx(2 / math.pi, rel=1e-4)
