from dataclasses import replace

import numpy as np
import pytest

from panolink.codec.entropy.scale_adaptation import ScaleAdaptation
from panolink.codec.entropy.tables import ADAPTATION_CONTEXTS, CLASSES, UNIT, Tables
from panolink.codec.model import load_model


@pytest.fixture(scope="module")
def tables() -> Tables:
    return load_model("base").tables


def draw(tokens: int, dim: int, *, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Differences in steps, and scale classes, of a Laplace density of just that scale."""
    random = np.random.default_rng(0)
    initial = random.integers(0, CLASSES, (tokens, dim))
    value = random.laplace(scale=strength * np.exp2((initial - 16) / 4)).astype(np.float32)
    return value, initial


def test_nothing_known_is_the_middle_context(tables: Tables):
    (context,) = ScaleAdaptation(tables, 1).contexts()
    assert context == ADAPTATION_CONTEXTS // 2 // 3 * 3


def test_tokens_of_larger_magnitudes_get_larger_classes(tables: Tables):
    """The property that saves the bits, of the tables that ship."""
    value, initial = draw(200, tables.levels.shape[1])
    shifts = []
    for strength in (0.0, 0.5, 1.0, 2.0, 4.0):
        adaptation = ScaleAdaptation(tables, 200)
        found = []
        for group, dims in enumerate(tables.groups):
            adapted = adaptation.classes(group, initial[:, dims])
            found.append((adapted - initial[:, dims])[(initial[:, dims] > 8) & (initial[:, dims] < 24)].mean())
            adaptation.update(initial[:, dims], np.rint(strength * value[:, dims]).astype(np.int32))
        shifts.append(np.mean(found[2:]))
    assert shifts == sorted(shifts) and shifts[0] < -2 < 2 < shifts[-1]


def test_classes_stay_in_range_and_zero_stays_zero(tables: Tables):
    _, initial = draw(50, 128)
    wild = replace(tables, shifts=np.full_like(tables.shifts, 127))
    adapted = ScaleAdaptation(wild, 50).classes(0, initial)
    assert (adapted[initial == 0] == 0).all()
    assert (adapted[initial > 0] == CLASSES - 1).all()


def test_sums_are_integers_that_no_size_overflows(tables: Tables):
    adaptation = ScaleAdaptation(tables, 1)
    initial, symbols = np.full((1, 92), CLASSES - 1), np.full((1, 92), -(1 << 15), dtype=np.int32)
    for _ in range(1000):
        adaptation.update(initial, symbols)
    assert 0 < adaptation._sums[0, 0] <= 92 * 15 * UNIT * 8 / 3
    assert 0 <= adaptation.contexts()[0] < ADAPTATION_CONTEXTS
