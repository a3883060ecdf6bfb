from dataclasses import replace

import numpy as np
import pytest
import torch

from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS
from panolink.codec.entropy.scale_adaptation import ScaleAdaptation, group_slices
from panolink.codec.entropy.tables import ADAPTATION_CONTEXTS, CLASSES, GROUP_STARTS, UNIT, Tables
from panolink.codec.model import load_model
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.codec.rate_control.rdoq import choose_symbols
from panolink.training.soft_quantization import choose_symbols as choose_plainly


@pytest.fixture(scope="module")
def tables() -> Tables:
    return load_model("base").tables


def draw(tokens: int, dim: int, *, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Differences in steps, and the classes that their codes promise, of Laplace law of just that scale."""
    random = np.random.default_rng(0)
    plain = random.integers(0, CLASSES, (tokens, dim))
    value = random.laplace(scale=strength * np.exp2((plain - 16) / 4)).astype(np.float32)
    return value, plain


def test_groups_cover_every_dimension_once():
    for dim in (1, 6, 36, 64, 128):
        covered = [d for part in group_slices(dim) for d in range(dim)[part]]
        assert covered == list(range(dim))


def test_nothing_known_is_the_middle_context(tables: Tables):
    (context,) = ScaleAdaptation(tables, 1).contexts()
    assert context == ADAPTATION_CONTEXTS // 2 // 3 * 3


def test_livelier_tokens_get_larger_classes(tables: Tables):
    """The property that saves the bits, of the tables that ship."""
    value, plain = draw(200, 128)
    shifts = []
    for strength in (0.0, 0.5, 1.0, 2.0, 4.0):
        adaptation = ScaleAdaptation(tables, 200)
        found = []
        for group, dims in enumerate(group_slices(128)):
            lively = adaptation.classes(group, plain[:, dims])
            found.append((lively - plain[:, dims])[(plain[:, dims] > 8) & (plain[:, dims] < 24)].mean())
            adaptation.update(plain[:, dims], np.rint(strength * value[:, dims]).astype(np.int32))
        shifts.append(np.mean(found[2:]))
    assert shifts == sorted(shifts) and shifts[0] < -2 < 2 < shifts[-1]


def test_classes_stay_in_range_and_zero_stays_zero(tables: Tables):
    _, plain = draw(50, 128)
    wild = replace(tables, shifts=np.full((len(GROUP_STARTS), ADAPTATION_CONTEXTS), 127, dtype=np.int8))
    lively = ScaleAdaptation(wild, 50).classes(0, plain)
    assert (lively[plain == 0] == 0).all()
    assert (lively[plain > 0] == CLASSES - 1).all()


def test_sums_are_integers_that_no_size_overflows(tables: Tables):
    adaptation = ScaleAdaptation(tables, 1)
    plain, symbols = np.full((1, 92), CLASSES - 1), np.full((1, 92), -(1 << 15), dtype=np.int32)
    for _ in range(1000):
        adaptation.update(plain, symbols)
    assert 0 < adaptation._sums[0, 0] <= 92 * 15 * UNIT * 8 / 3
    assert 0 <= adaptation.contexts()[0] < ADAPTATION_CONTEXTS


def test_choice_without_shifts_is_the_one_that_training_makes(tables: Tables):
    still = replace(tables, shifts=np.zeros((len(GROUP_STARTS), ADAPTATION_CONTEXTS), dtype=np.int8))
    value, plain = draw(300, 40)
    lengths = still.code_lengths()
    symbols, bits, gain = choose_symbols(value, plain, np.zeros(plain.shape, np.int16), still, lengths, RD_LAMBDA)
    expected, costs = choose_plainly(torch.from_numpy(value), torch.from_numpy(plain), torch.from_numpy(lengths))
    assert (symbols == expected.numpy()).mean() > 0.9999  # ties fall either way
    assert bits == pytest.approx(costs.sum(dim=1).numpy(), rel=1e-3)
    assert gain == pytest.approx((value**2).sum(axis=1) - ((value - symbols) ** 2).sum(axis=1), rel=1e-3, abs=1e-2)


def test_choice_prices_what_the_coder_writes(tables: Tables):
    """Bits of the choice are code lengths of the classes that the decoder will find from the symbols alone."""
    value, plain = draw(64, 128, strength=2)
    lengths, log_odds = tables.code_lengths(), np.random.default_rng(1).integers(-15, 16, plain.shape).astype(np.int16)
    symbols, bits, _ = choose_symbols(value, plain, log_odds, tables, lengths, RD_LAMBDA)
    adaptation, found = ScaleAdaptation(tables, 64), np.zeros(64)
    for group, dims in enumerate(group_slices(128)):
        lively = adaptation.classes(group, plain[:, dims])
        found += lengths[lively, np.minimum(np.abs(symbols[:, dims]), 48)].sum(axis=1)
        adaptation.update(plain[:, dims], symbols[:, dims])
    found += np.where(symbols, SIGN_BITS[log_odds * np.sign(symbols) + MAX_LOG_ODDS] - 1, 0).sum(axis=1)
    assert bits == pytest.approx(found, rel=1e-4)
