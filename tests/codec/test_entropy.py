import numpy as np
import pytest

from panolink.codec.entropy import SliceCoder
from panolink.codec.liveliness import Liveliness, group_slices
from panolink.codec.tables import CLASSES, GROUP_STARTS, LARGEST, LIVELINESS, TOTAL, Tables, to_frequencies
from panolink.errors import BitstreamError

CODES, DIM = 24, 6


@pytest.fixture(scope="module")
def tables() -> Tables:
    random = np.random.default_rng(0)
    return Tables(
        levels=random.integers(40, 90, (CODES, DIM)).astype(np.uint8),
        symbol_frequencies=to_frequencies(random.gamma(0.5, size=(CLASSES, 2 * LARGEST + 2)) + 1e-3),
        clusters=random.integers(0, 3, CODES).astype(np.uint8),
        pair_contexts=np.array([[1, 2, 3], [2, 1, 3], [3, 3, 2]], dtype=np.uint8),
        index_frequencies=to_frequencies(random.gamma(0.3, size=(4, CODES)) + 1e-3),
        promises=np.arange(CLASSES, dtype=np.int32),
        shifts=random.integers(-6, 7, (len(GROUP_STARTS), LIVELINESS)).astype(np.int8),
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 4), (3, 7), (5, 64), (2, 66)])
def test_indices_round_trip(tables: Tables, shape: tuple[int, int]):
    indices = np.random.default_rng(1).integers(0, CODES, shape)
    coder = SliceCoder(tables)
    assert np.array_equal(coder.decode_indices(coder.encode_indices(indices), *shape), indices)


@pytest.mark.parametrize("cols", [1, 2, 3, 4, 5, 8, 31, 64])
def test_every_column_is_coded_once_and_sees_only_what_is_known(tables: Tables, cols: int):
    coder, known = SliceCoder(tables), set()
    indices = np.random.default_rng(2).integers(0, CODES, (2, cols))
    for columns, contexts in coder.index_contexts(indices):
        hidden = indices.copy()
        hidden[:, [c for c in range(cols) if c not in known]] = 0
        for found, again in coder.index_contexts(hidden):
            if np.array_equal(found, columns):
                assert np.array_equal(again, contexts)
        assert not known & set(columns.tolist())
        known |= set(columns.tolist())
    assert known == set(range(cols))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_mask_round_trips_within_its_entropy(tables: Tables, share: float):
    kept = np.random.default_rng(3).random((32, 64)) < share
    coder = SliceCoder(tables)
    payload = coder.encode_mask(kept)
    assert np.array_equal(coder.decode_mask(payload, 32, 64), kept)
    rate = np.clip(kept.mean(), 1e-9, 1 - 1e-9)
    entropy = -kept.size * (rate * np.log2(rate) + (1 - rate) * np.log2(1 - rate))
    assert 8 * len(payload) < 1.03 * entropy + 120


def test_features_round_trip_with_escapes(tables: Tables):
    random = np.random.default_rng(4)
    classes = random.integers(0, CLASSES, (40, DIM))
    symbols = np.rint(random.laplace(scale=20, size=(40, DIM))).astype(np.int32)
    symbols[0, 0], symbols[1, 1] = LARGEST + 1, -30000
    classes[0, 0] = classes[1, 1] = 20
    symbols[classes == 0] = 0
    coder = SliceCoder(tables)
    assert np.array_equal(coder.decode_features(coder.encode_features(symbols, classes), classes), symbols)


def test_size_is_what_the_tables_say(tables: Tables):
    """The cost of a slice is the sum of its symbols' code lengths: what an exact budget rests on."""
    random = np.random.default_rng(5)
    plain = random.integers(1, CLASSES, (600, DIM))
    symbols, classes = np.zeros((600, DIM), dtype=np.int32), np.zeros_like(plain)
    liveliness = Liveliness(tables, 600)
    for group, dims in enumerate(group_slices(DIM)):  # drawn from the very laws they are coded with
        classes[:, dims] = liveliness.classes(group, plain[:, dims])
        law = tables.symbol_frequencies[classes[:, dims]] / TOTAL
        columns = (law.cumsum(axis=-1) < random.random((*law.shape[:2], 1))).sum(axis=-1)
        symbols[:, dims] = np.minimum(columns, 2 * LARGEST) - LARGEST
        liveliness.learn(plain[:, dims], symbols[:, dims])
    payload = SliceCoder(tables).encode_features(symbols, plain)
    bits = -np.log2(tables.symbol_frequencies[classes, symbols + LARGEST] / TOTAL).sum()
    assert 8 * len(payload) == pytest.approx(bits, abs=40)


def test_nothing_to_code(tables: Tables):
    coder = SliceCoder(tables)
    empty = np.zeros((0, DIM), dtype=np.int64)
    assert coder.encode_features(empty.astype(np.int32), empty) == b""
    assert coder.decode_features(b"", empty).shape == (0, DIM)


def test_truncated_mask(tables: Tables):
    with pytest.raises(BitstreamError, match="mask slice of 3 bytes"):
        SliceCoder(tables).decode_mask(b"abc", 4, 4)


def test_frequencies_are_positive_and_sum_up():
    table = to_frequencies(np.array([[0, 0, 5], [1, 1, 1]]), 1000)
    assert table.sum(axis=1).tolist() == [1000, 1000]
    assert table.min() >= 1
    with pytest.raises(ValueError, match="sum to 65536"):
        Tables(*[np.ones((2, 2), dtype=np.int32)] * 7)  # type: ignore[arg-type]
