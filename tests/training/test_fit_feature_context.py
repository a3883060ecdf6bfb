"""The feature context learns what neighbours' differences tell, and costs nothing before."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.entropy.tables import Tables
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.codec.rate_control.rd_cost import TokenCostModel
from panolink.training import feature_context_network
from panolink.training import fit_feature_context as module
from panolink.training.fit_feature_context import fit_feature_context, neutral_feature_context

ROWS, COLS = 16, 32
Panoramas = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.fixture
def tables(tiny: Codec) -> Tables:
    neutral = neutral_feature_context(tiny.network.codebook, tiny.model.tables.levels)
    return replace(tiny.model.tables, feature_context=neutral)


@pytest.fixture
def panoramas(tiny: Codec) -> Panoramas:
    """Grids of random indices; whole regions differ from their codes by much or by nothing."""
    random = np.random.default_rng(0)
    grids, differences = [], []
    for _ in range(6):
        grids.append(random.integers(0, tiny.network.codebook.shape[0], (ROWS, COLS)))
        loud = np.repeat(np.repeat(random.random((2, 4)) < 0.5, ROWS // 2, 0), COLS // 4, 1)
        scale = np.where(loud, 30.0, 0.3).reshape(-1, 1)
        differences.append((scale * random.standard_normal((ROWS * COLS, 12))).astype(np.float16))
    return grids, differences


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_context_network, "HIDDEN", 32)
    monkeypatch.setattr(module, "LEAST_STEPS", 40)


def bits(tables: Tables, grid: np.ndarray, difference: np.ndarray) -> float:
    """Of all that pays without context, in the half of the tokens that knows its neighbours' differences."""
    costs = TokenCostModel(tables, tables.code_lengths(), grid, torch.from_numpy(difference).float(), whole=True)
    kept = costs.from_index_context(4, RD_LAMBDA).pays(RD_LAMBDA) & ~costs.first
    return float(costs.at(4, RD_LAMBDA).bits[kept].sum())


def test_neighbours_differences_save_bits(tiny: Codec, tables: Tables, panoramas: Panoramas, quick) -> None:
    grids, differences = panoramas
    fitted = fit_feature_context(tiny.network.codebook, tables, grids[:-1], differences[:-1])
    fresh = grids[-1], differences[-1]
    assert bits(replace(tables, feature_context=fitted), *fresh) < 0.97 * bits(tables, *fresh)


def test_a_neutral_one_expects_nothing(tables: Tables) -> None:
    context = tables.feature_context
    assert not context.network.last.any() and not context.network.last_bias.any()


@pytest.mark.slow
def test_training_takes_the_same_way_each_time(tiny: Codec, tables: Tables, panoramas: Panoramas, quick) -> None:
    one, other = (fit_feature_context(tiny.network.codebook, tables, *panoramas) for _ in range(2))
    np.testing.assert_array_equal(one.network.last, other.network.last)
    np.testing.assert_array_equal(one.embedding, other.embedding)
    assert one.network.last.any(), "something was learnt"


def test_without_anything_that_pays_the_tables_keep_theirs(tiny: Codec, tables: Tables, quick) -> None:
    grid = np.zeros((ROWS, COLS), np.int64)
    found = fit_feature_context(tiny.network.codebook, tables, [grid], [np.zeros((ROWS * COLS, 12), np.float16)])
    assert found is tables.feature_context
