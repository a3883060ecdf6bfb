"""Feature slices of a panorama, whole and in slices that decode alone."""

from collections.abc import Sequence

import numpy as np
import pytest

from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.feature_coding import (
    decode_features,
    decoded_differences,
    encode_features,
    entropy_parameters,
    halves,
    slice_members,
)
from panolink.codec.tokens import Tokens, steps_of_tokens
from tests.codec.entropy.random_tables import CODES, DIM, random_tables

ROWS, COLS = 6, 12


@pytest.fixture(scope="module")
def coder() -> SliceCoder:
    return SliceCoder(random_tables())


def tokens_of(coder: SliceCoder, *, share: float, slices: int, step: int = 3) -> Tokens:
    random = np.random.default_rng(1)
    indices, kept = random.integers(0, CODES, (ROWS, COLS)), random.random((ROWS, COLS)) < share
    cells = np.flatnonzero(kept)
    symbols = np.rint(random.laplace(scale=2, size=(len(cells), DIM))).astype(np.int32)
    context = coder.feature_context(indices, cells, whole=False)
    classes, _ = entropy_parameters(
        coder.tables, indices, cells, steps_of_tokens(ROWS, COLS).flat[cells] + step, context
    )
    symbols[classes == 0] = 0
    return Tokens(
        width=16 * COLS, height=16 * ROWS, step=step, indices=indices, kept=kept, symbols=symbols, slices=slices
    )


def decoded(coder: SliceCoder, tokens: Tokens, payloads: Sequence[bytes | None], usable: np.ndarray | None = None):
    usable = np.ones_like(tokens.kept) if usable is None else usable
    return decode_features(
        coder,
        payloads,
        indices=tokens.indices,
        sent=tokens.kept,
        usable=usable,
        steps=tokens.steps,
        slices=tokens.slices,
    )


@pytest.mark.parametrize("slices", [1, 2, 3])
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_round_trip(coder: SliceCoder, share: float, slices: int):
    tokens = tokens_of(coder, share=share, slices=slices)
    symbols, received = decoded(coder, tokens, list(encode_features(coder, tokens)))
    assert received.all() and np.array_equal(symbols, tokens.symbols)


def test_nothing_kept_is_no_slice(coder: SliceCoder):
    assert encode_features(coder, tokens_of(coder, share=0.0, slices=1)) == []


def test_a_lost_slice_takes_its_own_tokens_only(coder: SliceCoder):
    tokens = tokens_of(coder, share=0.8, slices=3)
    payloads: list[bytes | None] = list(encode_features(coder, tokens))
    payloads[1] = None
    symbols, received = decoded(coder, tokens, payloads)
    rows = np.nonzero(tokens.kept)[0]
    assert np.array_equal(received, rows % 3 != 1)
    assert np.array_equal(symbols[received], tokens.symbols[received]) and not symbols[~received].any()


def test_features_go_with_their_index_slice(coder: SliceCoder):
    tokens = tokens_of(coder, share=0.8, slices=3)
    usable = np.ones_like(tokens.kept)
    usable[2::3] = False
    _, received = decoded(coder, tokens, list(encode_features(coder, tokens)), usable)
    assert np.array_equal(received, np.nonzero(tokens.kept)[0] % 3 != 2)


def test_a_single_slice_that_is_lost_leaves_no_feature(coder: SliceCoder):
    tokens = tokens_of(coder, share=0.5, slices=1)
    for payloads in ([None], []):
        assert not decoded(coder, tokens, payloads)[1].any()


def test_halves_and_slices_cover_every_kept_token_once():
    kept = np.random.default_rng(0).random((ROWS, COLS)) < 0.6
    everything = list(range(kept.sum()))
    assert sorted(np.concatenate(halves(kept))) == everything
    members = slice_members(kept, 3, 2)
    assert len(members) == 6 and sorted(np.concatenate(members)) == everything
    rows = np.nonzero(kept)[0]
    assert all((rows[run] % 3 == number % 3).all() for number, run in enumerate(members))


def test_decoded_differences_lie_at_their_cells(coder: SliceCoder):
    cells = np.array([3, 20])
    found = decoded_differences(
        coder.tables, (ROWS, COLS), cells, np.full((2, DIM), 5, dtype=np.int32), np.zeros(2, int)
    )
    assert found.dtype == np.int8 and found.shape[:2] == (ROWS, COLS)
    assert np.flatnonzero(found.reshape(ROWS * COLS, -1).any(axis=1)).tolist() == [3, 20]
