import numpy as np
import pytest

from panolink.codec.entropy.feature_context import (
    LOG_ODDS_STEPS,
    MAX_LOG_ODDS,
    MAX_SCALE_SHIFT,
    first_half,
    neighbour_codes,
    neighbour_values,
    sign_frequencies,
)
from tests.codec.entropy.integer_networks import random_feature_context

CODES, DIM = 20, 6


def test_neighbours_around_the_sphere():
    grid = np.arange(12).reshape(3, 4)
    (corner, middle) = neighbour_codes(grid, np.array([0, 5]), 99, whole=True)
    assert corner.tolist() == [0, 99, 4, 3, 1, 99, 99, 7, 5]
    assert middle.tolist() == [5, 1, 9, 4, 6, 0, 2, 8, 10]
    alone = neighbour_codes(grid, np.array([5]), 99, whole=False)
    assert alone.tolist() == [[5, 99, 99, 4, 6, 99, 99, 99, 99]]
    values = neighbour_values(np.arange(1, 13, dtype=np.int8).reshape(3, 4, 1), np.array([0, 5]))
    assert values.tolist() == [[0, 5, 4, 2], [2, 10, 5, 7]]


def test_halves_are_a_checkerboard():
    first = first_half(4, 6).reshape(4, 6)
    assert first.sum() == 12
    assert not (first & np.roll(first, 1, axis=1)).any() and not (first[1:] & first[:-1]).any()


@pytest.mark.parametrize("steps", [-8, 0, 3, 28])
def test_symbols_as_inputs_are_rounded_differences(steps: int):
    network, random = random_feature_context(CODES, DIM), np.random.default_rng(0)
    symbols = random.integers(-60, 61, (200, DIM)).astype(np.int32)
    found = network.as_inputs(symbols, np.full(200, steps))
    units = np.exp2(network.units / 4)
    wanted = np.clip(symbols[:, :4] * 2 ** (steps / 4) / units, -127, 127)
    assert found.dtype == np.int8
    assert np.abs(found - wanted).max() < 0.6


def test_what_is_expected_depends_on_what_is_known_only():
    network, random = random_feature_context(CODES, DIM), np.random.default_rng(1)
    grid = random.integers(0, CODES, (4, 8))
    known = random.integers(-100, 101, (4, 8, 4)).astype(np.int8)
    cells = np.arange(32)
    alone, whole = (network(grid, cells, whole=whole) for whole in (False, True))
    with_differences = network(grid, cells, whole=True, differences=known)
    assert not np.array_equal(whole.shifts, with_differences.shifts) and not np.array_equal(alone.shifts, whole.shifts)
    other = grid.copy()
    other[2] = random.integers(0, CODES, 8)
    again = network(other, cells[:16], whole=False)
    assert np.array_equal(again.shifts, alone.shifts[:16]) and np.array_equal(again.log_odds, alone.log_odds[:16])
    part = network(grid, cells[5:9], whole=True, differences=known)
    assert np.array_equal(part.log_odds, with_differences.of(slice(5, 9)).log_odds)
    assert (
        np.abs(with_differences.shifts).max() <= MAX_SCALE_SHIFT
        and np.abs(with_differences.log_odds).max() <= MAX_LOG_ODDS
    )


def test_sign_frequencies_are_those_of_the_log_odds():
    table = sign_frequencies()
    assert (table.sum(axis=1) == 256).all() and table.min() >= 1
    assert table[0].tolist() == [128, 128]
    log_odds = np.log(table[:, 1] / table[:, 0])
    assert log_odds == pytest.approx(np.arange(MAX_LOG_ODDS + 1) / LOG_ODDS_STEPS, abs=0.1)
