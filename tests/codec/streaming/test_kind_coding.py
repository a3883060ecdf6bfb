import numpy as np
import pytest

from panolink.codec.streaming.kind_coding import decode_kinds, encode_kinds, gaps_of, kinds_to_shares, share_to_byte
from panolink.codec.streaming.state import NO_FEATURE, Kind, TokenState
from tests.codec.streaming.test_state import COLS, ROWS, tokens

STEPS = np.full((ROWS, COLS), 3, dtype=np.int64)


@pytest.fixture
def reference() -> TokenState:
    lost = np.zeros((ROWS, COLS), dtype=bool)
    lost[2] = True
    kept = (np.random.default_rng(1).random((ROWS, COLS)) < 0.5) & ~lost
    return TokenState.of_whole(1, tokens(kept, lost))


@pytest.mark.parametrize("slices", [1, 2, 3])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_round_trip(reference: TokenState, share: float, slices: int):
    random = np.random.default_rng(2)
    kinds = np.where(random.random((ROWS, COLS)) < share, random.integers(0, 4, (ROWS, COLS)), 0).astype(np.uint8)
    kinds[reference.unknown & (kinds == Kind.REFINED)] = Kind.NEW
    shares = kinds_to_shares(kinds)
    for start in range(slices):
        rows = slice(start, None, slices)
        payload = encode_kinds(kinds, reference, STEPS, rows, shares)
        assert np.array_equal(decode_kinds(payload, reference, STEPS, rows, shares), kinds[rows])


def test_nothing_changed_takes_no_byte(reference: TokenState):
    kinds = np.zeros((ROWS, COLS), dtype=np.uint8)
    assert encode_kinds(kinds, reference, STEPS, slice(None), kinds_to_shares(kinds)) == b""


def test_shares_fit_a_byte_and_keep_small_ones_apart():
    assert share_to_byte(0) == 0 and share_to_byte(1) == 32
    assert share_to_byte(0.002) < share_to_byte(0.01) < share_to_byte(0.05)


def test_gaps_say_how_much_finer(reference: TokenState):
    gaps = gaps_of(reference, STEPS)
    assert (gaps[reference.steps == NO_FEATURE] == 3).all()
    known = reference.steps != NO_FEATURE
    assert (gaps_of(reference, reference.steps.astype(np.int64))[known] == 0).all()
    assert (gaps_of(reference, reference.steps.astype(np.int64) - 2)[known] == 1).all()
    assert (gaps_of(reference, reference.steps.astype(np.int64) - 9)[known] == 2).all()


def test_an_unknown_token_is_never_refined(reference: TokenState):
    random = np.random.default_rng(3)
    for _ in range(20):
        kinds = decode_kinds(random.bytes(12), reference, STEPS, slice(None), (20, 10))
        assert not (kinds[reference.unknown] == Kind.REFINED).any()
