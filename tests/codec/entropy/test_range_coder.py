"""The range coder writes and reads the very bits of ``constriction``, with which the first files were written."""

import constriction
import numpy as np
import pytest

from panolink.codec.entropy.range_coder import WHOLE, advance, cumulative, decode_run, decoder, encode, quantile
from panolink.codec.entropy.tables import to_frequencies

stream = constriction.stream  # type: ignore[attr-defined]  # a compiled module without stubs
TOTAL = 1 << 16


def frequencies(symbols: int, *, seed: int = 0) -> np.ndarray:
    """(symbols,): a few frequent ones, many rare ones."""
    return to_frequencies(np.random.default_rng(seed).gamma(0.3, size=(1, symbols)) + 1e-6)[0]


def model(counts: np.ndarray):
    return stream.model.Categorical((counts / np.float32(TOTAL)).astype(np.float32), perfect=False)


def theirs(symbols: np.ndarray, counts: np.ndarray) -> bytes:
    encoder = stream.queue.RangeEncoder()
    encoder.encode(symbols.astype(np.int32), model(counts))
    return encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


def ours(symbols: np.ndarray, counts: np.ndarray) -> bytes:
    table = cumulative(counts[None], TOTAL)[0]
    return encode(table[symbols], table[symbols + 1] - table[symbols])


@pytest.mark.parametrize("symbols", [2, 7, 49])
@pytest.mark.parametrize("drawn", ["as frequent", "the last only", "the first and the last"])
def test_bits_are_those_of_constriction(symbols: int, drawn: str):
    """The end of the interval again and again is what makes carries run through many words."""
    for seed in range(10):
        random, counts = np.random.default_rng(seed), frequencies(symbols, seed=seed)
        values = {
            "as frequent": random.choice(symbols, 700, p=counts / TOTAL),
            "the last only": np.full(700, symbols - 1),
            "the first and the last": (symbols - 1) * random.integers(0, 2, 700),
        }[drawn]
        payload = ours(values, counts)
        assert payload == theirs(values, counts)
        state, words = decoder(payload)
        found = np.empty(len(values), np.uint8)
        assert decode_run(state, words, cumulative(counts[None], TOTAL), np.zeros(len(values), np.uint8), found)
        assert np.array_equal(found, values)


def test_every_length_from_nothing():
    counts = frequencies(5)
    for length in range(40):
        values = np.random.default_rng(length).integers(0, 5, length)
        assert ours(values, counts) == (theirs(values, counts) if length else b"")


def test_symbols_of_several_distributions_and_raw_bits():
    tables = cumulative(np.stack([frequencies(9, seed=seed) for seed in range(3)]), TOTAL)
    random = np.random.default_rng(1)
    rows, values, raw = random.integers(0, 3, 200).astype(np.uint8), random.integers(0, 9, 200), 54321
    start = np.append(tables[rows, values], raw * 256).astype(np.uint32)
    width = np.append(tables[rows, values + 1] - tables[rows, values], 256).astype(np.uint32)
    state, words = decoder(encode(start, width))
    found = np.empty(200, np.uint8)
    assert decode_run(state, words, tables, rows, found) and np.array_equal(found, values)
    assert quantile(state) // 256 == raw
    advance(state, words, np.uint32(raw * 256), np.uint32(256))


def test_cumulative_distributions_leave_each_symbol_room():
    table = cumulative(np.array([[TOTAL - 48, *[1] * 48]]), TOTAL)
    assert table[0, 0] == 0 and table[0, -1] == WHOLE and (np.diff(table.astype(np.int64)) > 0).all()


def test_a_point_beyond_the_interval_is_found_out():
    state, words = decoder(b"\xff" * 8)
    rows, table = np.zeros(4, np.uint8), cumulative(np.array([[TOTAL // 2, TOTAL // 2]]), TOTAL)
    assert 0 <= quantile(state) <= WHOLE
    state[0], state[1] = 0, 1 << 40
    assert quantile(state) == WHOLE
    assert not decode_run(state, words, table, rows, np.empty(4, np.uint8))
