from dataclasses import replace

import numpy as np
import pytest
import torch

from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS
from panolink.codec.entropy.scale_adaptation import ScaleAdaptation, group_slices
from panolink.codec.entropy.tables import ADAPTATION_CONTEXTS, CLASSES, GROUP_STARTS, Tables
from panolink.codec.model import load_model
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.codec.rate_control.rdoq import choose_symbols
from panolink.training.soft_quantization import choose_symbols as choose_initially


@pytest.fixture(scope="module")
def tables() -> Tables:
    return load_model("base").tables


def draw(tokens: int, dim: int, *, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Differences in steps, and scale classes, of a Laplace density of just that scale."""
    random = np.random.default_rng(0)
    initial = random.integers(0, CLASSES, (tokens, dim))
    value = random.laplace(scale=strength * np.exp2((initial - 16) / 4)).astype(np.float32)
    return value, initial


def test_choice_without_shifts_is_the_one_that_training_makes(tables: Tables):
    still = replace(tables, shifts=np.zeros((len(GROUP_STARTS), ADAPTATION_CONTEXTS), dtype=np.int8))
    value, initial = draw(300, 40)
    lengths = still.code_lengths()
    symbols, bits, gain = choose_symbols(value, initial, np.zeros(initial.shape, np.int16), still, lengths, RD_LAMBDA)
    expected, costs = choose_initially(torch.from_numpy(value), torch.from_numpy(initial), torch.from_numpy(lengths))
    assert (symbols == expected.numpy()).mean() > 0.9999  # ties fall either way
    assert bits == pytest.approx(costs.sum(dim=1).numpy(), rel=1e-3)
    assert gain == pytest.approx((value**2).sum(axis=1) - ((value - symbols) ** 2).sum(axis=1), rel=1e-3, abs=1e-2)


def test_choice_prices_what_the_coder_writes(tables: Tables):
    """Bits of the choice are code lengths of the classes that the decoder will find from the symbols alone."""
    value, initial = draw(64, 128, strength=2)
    lengths, log_odds = (
        tables.code_lengths(),
        np.random.default_rng(1).integers(-15, 16, initial.shape).astype(np.int16),
    )
    symbols, bits, _ = choose_symbols(value, initial, log_odds, tables, lengths, RD_LAMBDA)
    adaptation, found = ScaleAdaptation(tables, 64), np.zeros(64)
    for group, dims in enumerate(group_slices(128)):
        adapted = adaptation.classes(group, initial[:, dims])
        found += lengths[adapted, np.minimum(np.abs(symbols[:, dims]), 48)].sum(axis=1)
        adaptation.update(initial[:, dims], symbols[:, dims])
    found += np.where(symbols, SIGN_BITS[log_odds * np.sign(symbols) + MAX_LOG_ODDS] - 1, 0).sum(axis=1)
    assert bits == pytest.approx(found, rel=1e-4)
