import numpy as np
import pytest

from panolink.codec.entropy.coder import SliceCoder, places_by_slice
from panolink.codec.entropy.feature_context import LOG_ODDS_STEPS, MAX_LOG_ODDS, SIGN_BITS
from panolink.codec.entropy.index_context import bands_of, schedule
from panolink.codec.entropy.scale_adaptation import ScaleAdaptation
from panolink.codec.entropy.tables import (
    CLASSES,
    MAX_MAGNITUDE,
    TOTAL,
    Tables,
)
from panolink.errors import BitstreamError
from tests.codec.entropy.random_tables import CODES, DIM, random_tables


@pytest.fixture(scope="module")
def tables() -> Tables:
    return random_tables()


@pytest.mark.parametrize("slices", [1, 2, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 4), (3, 7), (5, 64), (7, 66)])
def test_indices_round_trip(tables: Tables, shape: tuple[int, int], slices: int):
    indices = np.random.default_rng(1).integers(0, CODES, shape)
    coder = SliceCoder(tables)
    slices = min(slices, shape[0])
    payloads: list[bytes | None] = list(coder.encode_indices(indices, slices))
    assert len(payloads) == slices and np.array_equal(coder.decode_indices(payloads, shape), indices)
    if slices > 1:
        payloads[1], indices[1::slices] = None, 0
        assert np.array_equal(coder.decode_indices(payloads, shape), indices), "a slice decodes without the others"


def test_indices_take_the_bits_of_their_pmfs(tables: Tables):
    coder, indices = SliceCoder(tables), np.random.default_rng(2).integers(0, CODES, (16, 32))
    bits = 0.0
    for step in schedule(16, 32, whole=True):
        frequencies = tables.index_context.frequencies(
            step.number, np.append(indices, CODES)[step.neighbours], bands_of(16)[step.cells // 32]
        )
        shares = frequencies / (1 << 16)
        bits -= np.log2(shares[np.arange(len(shares)), indices.ravel()[step.cells]]).sum()
    assert 8 * len(coder.encode_indices(indices)[0]) == pytest.approx(bits, abs=40)


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
    classes = random.integers(0, CLASSES, (40, DIM)).astype(np.uint8)
    symbols = np.rint(random.laplace(scale=20, size=(40, DIM))).astype(np.int32)
    symbols[0, 0], symbols[1, 1] = MAX_MAGNITUDE + 1, -30000
    classes[0, 0] = classes[1, 1] = 20
    symbols[classes == 0] = 0
    log_odds = random.integers(-15, 16, (40, DIM)).astype(np.int8)
    coder = SliceCoder(tables)
    payload = coder.encode_features(
        [(symbols[:25], classes[:25], log_odds[:25]), (symbols[25:], classes[25:], log_odds[25:])]
    )
    reader = coder.feature_reader(payload)
    assert np.array_equal(reader.decode(classes[:25], log_odds[:25]), symbols[:25])
    assert np.array_equal(reader.decode(classes[25:], log_odds[25:]), symbols[25:])


def test_size_is_what_the_tables_say(tables: Tables):
    """The cost of a slice is the sum of its symbols' code lengths: what an exact budget rests on."""
    random = np.random.default_rng(5)
    initial = random.integers(1, CLASSES, (600, DIM)).astype(np.uint8)
    log_odds = random.integers(-15, 16, initial.shape).astype(np.int8)
    symbols, classes = np.zeros((600, DIM), dtype=np.int32), np.zeros_like(initial)
    adaptation = ScaleAdaptation(tables, 600)
    for group, dims in enumerate(tables.groups):  # drawn from the very pmfs they are coded with
        classes[:, dims] = adaptation.classes(group, initial[:, dims])
        pmf = tables.symbol_frequencies[classes[:, dims]] / TOTAL
        columns = (pmf.cumsum(axis=-1) < random.random((*pmf.shape[:2], 1))).sum(axis=-1)
        symbols[:, dims] = np.minimum(columns, MAX_MAGNITUDE)
        adaptation.update(initial[:, dims], symbols[:, dims])
    symbols[random.random(symbols.shape) > 1 / (1 + np.exp(-log_odds / LOG_ODDS_STEPS))] *= -1
    payload = SliceCoder(tables).encode_features([(symbols, initial, log_odds)])
    bits = -np.log2(tables.symbol_frequencies[classes, np.abs(symbols)] / TOTAL).sum()
    agreement = (log_odds * np.sign(symbols))[symbols != 0]
    bits += SIGN_BITS[agreement + MAX_LOG_ODDS].sum()
    assert 8 * len(payload) == pytest.approx(bits, abs=40)


@pytest.mark.parametrize("slices", [1, 3, 7])
def test_places_of_each_slice_in_order(slices: int):
    rows = np.random.default_rng(0).integers(0, 6, 40)
    places = places_by_slice(rows, slices)
    assert [part.tolist() for part in places] == [np.flatnonzero(rows % slices == s).tolist() for s in range(slices)]


def test_nothing_to_code(tables: Tables):
    coder = SliceCoder(tables)
    empty, no_odds = np.zeros((0, DIM), dtype=np.uint8), np.zeros((0, DIM), dtype=np.int8)
    assert coder.encode_features([(empty.astype(np.int32), empty, no_odds)]) == b""
    assert coder.feature_reader(b"").decode(empty, no_odds).shape == (0, DIM)


def test_corrupt_slices_are_refused(tables: Tables):
    coder, classes = SliceCoder(tables), np.full((30, DIM), 16, np.uint8)
    with pytest.raises(BitstreamError, match="indices do not decode"):
        coder.decode_indices([b"\xff" * 40], (16, 32))
    with pytest.raises(BitstreamError, match="features do not decode"):
        coder.feature_reader(b"\xff" * 40).decode(classes, np.zeros((30, DIM), np.int8))


def test_truncated_mask(tables: Tables):
    with pytest.raises(BitstreamError, match="mask slice of 3 bytes"):
        SliceCoder(tables).decode_mask(b"abc", 4, 4)
