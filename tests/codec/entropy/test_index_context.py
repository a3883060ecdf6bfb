from dataclasses import replace

import numpy as np
import pytest

from panolink.codec.entropy.index_context import BANDS, PASSES, SINGLE_ROWS, TOTAL, WHOLE_GRID, bands_of, schedule
from tests.codec.entropy.integer_networks import random_index_context

CODES = 40


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 2), (4, 8), (7, 13), (16, 32)])
def test_every_cell_is_coded_once_and_sees_only_what_is_known(shape: tuple[int, int], whole: bool):
    known: set[int] = set()
    for step in schedule(*shape, whole=whole):
        assert set(step.neighbours.ravel().tolist()) <= known | {shape[0] * shape[1]}
        if not whole:
            there = step.neighbours < shape[0] * shape[1]
            rows = np.broadcast_to(step.cells[:, None] // shape[1], there.shape)
            assert (step.neighbours[there] // shape[1] == rows[there]).all()
        assert not known & set(step.cells.tolist())
        known |= set(step.cells.tolist())
    assert known == set(range(shape[0] * shape[1]))


def test_half_of_a_whole_grid_lies_between_known_neighbours():
    last = schedule(8, 16, whole=True)[-1]
    assert len(last.cells) == 64
    row, col = last.cells // 16, last.cells % 16
    up, down = last.neighbours[:, 0], last.neighbours[:, 1]
    assert (up[row > 0] == last.cells[row > 0] - 16).all() and (up[row == 0] == 128).all()
    assert (down[row < 7] == last.cells[row < 7] + 16).all() and (down[row == 7] == 128).all()
    assert (last.neighbours[:, 3] == row * 16 + (col + 1) % 16).all(), "columns wrap"


def test_cells_of_the_passes_are_a_partition():
    for passes in (WHOLE_GRID, SINGLE_ROWS):
        cells = [cell for one in passes for cell in one.cells]
        assert len(cells) == len(set(cells)) == 16


def test_laws_are_dyadic_and_whole():
    network, random = random_index_context(CODES), np.random.default_rng(0)
    for number, one in enumerate(PASSES):
        neighbours = random.integers(0, CODES + 1, (50, len(one.neighbours)))
        frequencies = network.pmf(number, neighbours, random.integers(0, BANDS, 50)) * TOTAL
        assert frequencies.dtype == np.float32
        assert (frequencies == np.rint(frequencies)).all() and frequencies.min() >= 1
        assert (frequencies.sum(axis=1, dtype=np.float64) == TOTAL).all()


def test_parts_that_do_not_fit_together_are_refused():
    contexts = random_index_context(CODES)
    with pytest.raises(ValueError, match="do not fit together"):
        replace(contexts, bands=contexts.bands[:, :3])
    with pytest.raises(ValueError, match="40 codes has embeddings of 39"):
        replace(contexts, embedding=contexts.embedding[1:])


def test_bands_go_from_pole_to_pole():
    for rows in (1, 7, 32, 100):
        bands = bands_of(rows)
        assert len(bands) == rows and (np.diff(bands) >= 0).all()
        assert (bands + bands[::-1] == BANDS - 1).all() or rows % 2 or rows > BANDS
    assert bands_of(64)[[0, -1]].tolist() == [0, BANDS - 1]
