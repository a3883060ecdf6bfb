"""The kernel that chooses symbols finds what a plain formula in NumPy does, to the bit, and prices what is coded."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS, EntropyParameters
from panolink.codec.entropy.scale_adaptation import ScaleAdaptation
from panolink.codec.entropy.tables import (
    CLASSES,
    LEVEL_ZERO,
    MAX_MAGNITUDE,
    Tables,
)
from panolink.codec.model import load_model
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.codec.rate_control.rdoq import choose_symbols
from panolink.training.soft_quantization import choose_training_symbols


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Of the model that ships, all codes of one level: at step 0 the feature context's shifts alone set the classes."""
    tables = load_model("base").tables
    return replace(tables, levels=np.full_like(tables.levels, LEVEL_ZERO))


def draw(tables: Tables, tokens: int, *, strength: float = 1.0) -> tuple[np.ndarray, EntropyParameters]:
    """Differences in steps, and classes 1 … CLASSES − 1 as shifts from 16, of a Laplace density of just that scale."""
    random = np.random.default_rng(0)
    classes = random.integers(1, CLASSES, (tokens, tables.levels.shape[1]))
    value = random.laplace(scale=strength * np.exp2((classes - 16) / 4)).astype(np.float32)
    log_odds = random.integers(-MAX_LOG_ODDS, MAX_LOG_ODDS + 1, classes.shape).astype(np.int8)
    return value, EntropyParameters((classes - 16).astype(np.int8), log_odds)


def chosen(
    value: np.ndarray,
    context: EntropyParameters,
    tables: Tables,
    *,
    lmbda: float = RD_LAMBDA,
    step: int = 0,
    symbols: bool = True,
):
    """Symbols, bits and gain of all tokens."""
    count, dim = value.shape
    out = np.zeros((count if symbols else 0, dim), np.int16), np.zeros(count, np.float32), np.zeros(count, np.float32)
    everything = np.arange(count)
    choose_symbols(
        value,
        np.zeros(count, np.int64),
        np.full(count, step),
        context,
        tables,
        tables.code_lengths(),
        lmbda,
        cells=everything,
        places=everything,
        out=out,
    )
    return out


def reference(value: np.ndarray, context: EntropyParameters, tables: Tables, lmbda: float, step: int):
    """The same in plain NumPy, all tokens at once: dimension by dimension, so that sums have the same order."""
    lengths, lmbda32 = tables.code_lengths(), np.float32(lmbda)
    count = len(value)
    plain = tables.classes(np.zeros(count, np.int64), np.full(count, step), context).astype(np.int64)
    value = value * np.float32(2.0 ** (-step / 4))
    symbols, bits, gain = np.zeros(value.shape, np.int16), np.zeros(count, np.float32), np.zeros(count, np.float32)
    adaptation = ScaleAdaptation(tables, count)
    for group, dims in enumerate(tables.groups):
        adapted = adaptation.classes(group, plain[:, dims])
        for offset, place in enumerate(range(dims.start, dims.stop)):
            scale, magnitude = adapted[:, offset], np.abs(value[:, place])
            odds = np.where(value[:, place] > 0, context.log_odds[:, place], -context.log_odds[:, place])
            sign = SIGN_BITS[odds.astype(np.int64) + MAX_LOG_ODDS] - np.float32(1)
            best, best_bits = np.zeros(count, np.int64), lengths[scale, 0]
            best_cost = magnitude * magnitude + lmbda32 * best_bits
            nearest = np.minimum(magnitude + np.float32(0.5), np.float32((1 << 15) - 1)).astype(np.int64)
            for candidate in (nearest - 1, nearest):
                candidate_bits = lengths[scale, np.clip(candidate, 0, MAX_MAGNITUDE + 1)] + sign
                error = magnitude - candidate.astype(np.float32)
                cost = error * error + lmbda32 * candidate_bits
                better = (cost < best_cost) & (candidate >= 1)
                best, best_bits = np.where(better, candidate, best), np.where(better, candidate_bits, best_bits)
                best_cost = np.where(better, cost, best_cost)
            sent = scale > 0
            best = np.where(sent, best, 0)
            symbols[:, place] = np.where(value[:, place] > 0, best, -best)
            bits += np.where(sent, best_bits, np.float32(0))
            magnitude32 = best.astype(np.float32)
            gain += magnitude32 * (np.float32(2) * magnitude - magnitude32)
        adaptation.update(plain[:, dims], symbols[:, dims].astype(np.int32))
    return symbols, bits, gain


@pytest.mark.parametrize(("step", "lmbda", "strength"), [(0, RD_LAMBDA, 1.0), (-5, 0.02, 4.0), (7, 0.3, 1.0)])
def test_the_kernel_is_the_formula_to_the_bit(tables: Tables, step: int, lmbda: float, strength: float):
    value, context = draw(tables, 300, strength=strength)
    value[0, :3] = 60.0, -48.4, 40000.0
    found, expected = (
        chosen(value, context, tables, lmbda=lmbda, step=step),
        reference(value, context, tables, lmbda, step),
    )
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert (found[0] != 0).any() and (found[0] == 0).any()


def test_costs_alone_are_those_of_the_symbols(tables: Tables):
    value, context = draw(tables, 70)
    (_, bits, gain), (symbols, bits_alone, gain_alone) = (
        chosen(value, context, tables),
        chosen(value, context, tables, symbols=False),
    )
    assert not symbols.size and np.array_equal(bits, bits_alone) and np.array_equal(gain, gain_alone)


def test_choice_without_shifts_is_the_one_that_training_makes(tables: Tables):
    still = replace(tables, shifts=np.zeros_like(tables.shifts))
    value, context = draw(tables, 300)
    context.log_odds[:] = 0
    classes, lengths = torch.from_numpy(context.shifts.astype(np.int64) + 16), torch.from_numpy(still.code_lengths())
    symbols, bits, gain = chosen(value, context, still)
    expected, costs = choose_training_symbols(torch.from_numpy(value), classes, lengths)
    assert (symbols == expected.numpy()).mean() > 0.9999  # ties fall either way
    assert bits == pytest.approx(costs.sum(dim=1).numpy(), rel=1e-3)
    assert gain == pytest.approx((value**2).sum(axis=1) - ((value - symbols) ** 2).sum(axis=1), rel=1e-3, abs=1e-2)


def test_choice_prices_what_the_coder_writes(tables: Tables):
    """Bits of the choice are code lengths of the classes that the decoder will find from the symbols alone."""
    value, context = draw(tables, 64, strength=2)
    initial, lengths = context.shifts.astype(np.int64) + 16, tables.code_lengths()
    symbols, bits, _ = chosen(value, context, tables)
    adaptation, found = ScaleAdaptation(tables, 64), np.zeros(64)
    for group, dims in enumerate(tables.groups):
        adapted = adaptation.classes(group, initial[:, dims])
        found += lengths[adapted, np.minimum(np.abs(symbols[:, dims]), 48)].sum(axis=1)
        adaptation.update(initial[:, dims], symbols[:, dims].astype(np.int32))
    found += np.where(symbols, SIGN_BITS[context.log_odds * np.sign(symbols) + MAX_LOG_ODDS] - 1, 0).sum(axis=1)
    assert bits == pytest.approx(found, rel=1e-4)
