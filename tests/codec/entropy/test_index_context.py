from dataclasses import replace

import numpy as np
import pytest

from panolink.codec.entropy.index_context import (
    BANDS,
    LOGIT_BITS,
    PASSES,
    SINGLE_ROWS,
    TOTAL,
    WHOLE_GRID,
    bands_of,
    decode_rows,
    schedule,
    slots_of,
)
from panolink.codec.entropy.integer_network import ACTIVATION_BITS, WEIGHT_BITS
from panolink.codec.entropy.range_coder import cumulative, decoder, encode
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


def test_frequencies_are_those_of_the_logits():
    """In plain NumPy: powers of two in steps of 1/16 octave, one count for each code, the likeliest takes the rest."""
    network, random = random_index_context(CODES), np.random.default_rng(0)
    for number, one in enumerate(PASSES):
        neighbours, bands = random.integers(0, CODES + 1, (50, len(one.neighbours))), random.integers(0, BANDS, 50)
        seen = network.embedding[neighbours].reshape(50, -1)
        logits = network.network(seen, network.bands[number][bands], slots_of(number, network.embedding.shape[1]))
        below = (logits.max(axis=1, keepdims=True) - logits) >> (WEIGHT_BITS + ACTIVATION_BITS - LOGIT_BITS)
        powers = np.rint((1 << 24) * 2.0 ** (-np.arange(16) / 16)).astype(np.int64)
        shares = powers[below & 15] >> np.minimum(below >> 4, 31)
        expected = 1 + (shares * ((TOTAL - CODES) / shares.sum(axis=1, keepdims=True))).astype(np.int64)
        expected[np.arange(50), logits.argmax(axis=1)] += TOTAL - expected.sum(axis=1)
        found = network.frequencies(number, neighbours, bands)
        assert found.dtype == np.uint16 and np.array_equal(found, expected)


def test_intervals_are_those_of_the_range_coder():
    network, random = random_index_context(CODES), np.random.default_rng(1)
    for number, one in enumerate(PASSES):
        neighbours, bands = random.integers(0, CODES + 1, (80, len(one.neighbours))), random.integers(0, BANDS, 80)
        indices = random.integers(0, CODES, 80)
        indices[:2] = 0, CODES - 1
        frequencies = network.frequencies(number, neighbours, bands)
        table = cumulative(frequencies.astype(np.int64), TOTAL)
        start, width = network.intervals(number, neighbours, bands, indices)
        assert np.array_equal(start, table[np.arange(80), indices])
        assert np.array_equal(start + width, table[np.arange(80), indices + 1])
        state, words = decoder(encode(start, width))
        found = np.empty(80, np.int64)
        assert decode_rows(state, words, frequencies, found) and np.array_equal(found, indices)
        assert not decode_rows(*decoder(b"\xff" * 200), frequencies, found)


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
