"""In torch operations, here on a CPU, the feature context model finds what the kernels do."""

import numpy as np
import pytest
import torch

from panolink.codec.entropy import device_context
from panolink.codec.entropy.device_context import DeviceFeatureContext
from tests.codec.entropy.integer_networks import random_feature_context

CODES, DIM, ROWS, COLS = 20, 6, 5, 8


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("informed", [True, False])
def test_predictions_are_the_same(monkeypatch: pytest.MonkeyPatch, whole: bool, informed: bool):
    monkeypatch.setattr(device_context, "CHUNK", 7)
    model, random = random_feature_context(CODES, DIM), np.random.default_rng(0)
    there = DeviceFeatureContext(model, torch.device("cpu"))
    indices, cells = random.integers(0, CODES, (ROWS, COLS)), random.permutation(ROWS * COLS)[:23]
    known = random.integers(-127, 128, (ROWS, COLS, 4)).astype(np.int8) if informed else None
    expected = model(indices, cells, whole=whole, differences=known)
    flat = None if known is None else torch.from_numpy(known).flatten(0, 1)
    shifts, log_odds = there(torch.from_numpy(indices), torch.from_numpy(cells), whole=whole, differences=flat)
    assert shifts.dtype == log_odds.dtype == torch.int8
    assert np.array_equal(shifts.numpy(), expected.shifts) and np.array_equal(log_odds.numpy(), expected.log_odds)
    found = there.of_arrays(indices, cells, whole=whole, differences=known)
    assert np.array_equal(found.shifts, expected.shifts) and np.array_equal(found.log_odds, expected.log_odds)


def test_symbols_become_the_same_inputs():
    model, random = random_feature_context(CODES, DIM), np.random.default_rng(1)
    there = DeviceFeatureContext(model, torch.device("cpu"))
    symbols, steps = random.integers(-32767, 32768, (300, DIM)).astype(np.int16), random.integers(-8, 37, 300)
    symbols[::2] //= 500
    found = there.as_inputs(torch.from_numpy(symbols), torch.from_numpy(steps))
    assert np.array_equal(found.numpy(), model.as_inputs(symbols, steps))
