"""The index context model learns what neighbours tell, and loses nothing as an integer network."""

import numpy as np
import pytest
import torch

from panolink.codec.entropy.index_context import TOTAL, bands_of, schedule
from panolink.training.fit_index_context import fit_index_context

CODES = 16


def grid_of(random: np.random.Generator) -> np.ndarray:
    """Indices that are mostly those of the row above."""
    grid = random.integers(0, CODES, (16, 32))
    for row in range(1, 16):
        same = random.random(32) < 0.8
        grid[row, same] = grid[row - 1, same]
    return grid


def bits_a_token(network, grid: np.ndarray, *, whole: bool) -> float:
    bits = 0.0
    for step in schedule(*grid.shape, whole=whole):
        frequencies = network.frequencies(
            step.number, np.append(grid, CODES)[step.neighbours], bands_of(len(grid))[step.cells // grid.shape[1]]
        )
        shares = frequencies / TOTAL
        bits -= np.log2(shares[np.arange(len(shares)), grid.ravel()[step.cells]]).sum()
    return bits / grid.size


@pytest.mark.slow
def test_neighbours_save_bits():
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = fit_index_context(torch.randn(CODES, 6), [grid_of(random) for _ in range(40)])
    fresh = grid_of(random)
    assert bits_a_token(network, fresh, whole=False) < 4.2, "rows alone tell nothing here: log2(16) bits"
    assert bits_a_token(network, fresh, whole=True) < 3.2
