"""In torch operations, here on a CPU, the choice of symbols is the kernel's to the bit."""

import numpy as np
import pytest
import torch

from panolink.codec.entropy.feature_context import EntropyParameters
from panolink.codec.entropy.tables import Tables
from panolink.codec.model import load_model
from panolink.codec.rate_control.rdoq import choose_symbols
from panolink.codec.rate_control.rdoq_device import DeviceChoice


@pytest.fixture(scope="module")
def tables() -> Tables:
    return load_model("base").tables


@pytest.mark.parametrize(("lmbda", "step", "strength"), [(0.1, 4, 1.0), (0.033, -8, 30.0), (0.3, 12, 1.0)])
def test_symbols_bits_and_gain_are_the_same(tables: Tables, lmbda: float, step: int, strength: float):
    random, (codes, dim), count = np.random.default_rng(0), tables.levels.shape, 200
    indices, steps = random.integers(0, codes, count), step + random.integers(0, 9, count)
    difference = random.laplace(scale=strength * np.exp2((tables.levels[indices] - 64.0) / 4)).astype(np.float32)
    difference[0, :2] = 1e6, -1e6
    context = EntropyParameters(*(random.integers(-most, most + 1, (count, dim)).astype(np.int8) for most in (24, 15)))
    out = np.zeros((count, dim), np.int16), np.zeros(count, np.float32), np.zeros(count, np.float32)
    cells, lengths = np.arange(count), tables.code_lengths()
    choose_symbols(difference, indices, steps, context, tables, lengths, lmbda, cells=cells, places=cells, out=out)
    arrays = (difference, indices, steps, context.shifts, context.log_odds)
    values, codes, at, shifts, log_odds = (torch.from_numpy(array) for array in arrays)
    found = DeviceChoice(tables, lengths, torch.device("cpu"))(values, codes, at, shifts, log_odds, lmbda)
    assert (out[0] != 0).any()
    for one, other in zip(found, out, strict=True):
        assert np.array_equal(one.numpy(), other)
