import tracemalloc
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from panolink.codec.streaming.state import FRACTION_BITS, NO_FEATURE, Kind, TokenState, TokenUpdate
from panolink.codec.tokens import Tokens

ROWS, COLS, DIM = 4, 8, 3


def tokens(kept: np.ndarray, concealed: np.ndarray | None = None) -> Tokens:
    random = np.random.default_rng(0)
    return Tokens(
        width=16 * COLS,
        height=16 * ROWS,
        step=4,
        indices=random.integers(0, 9, (ROWS, COLS)),
        kept=kept,
        symbols=random.integers(-5, 6, (int(kept.sum()), DIM)).astype(np.int32),
        concealed=concealed,
    )


def update_of(kinds: np.ndarray, step: int = 0) -> TokenUpdate:
    count = int(((kinds == Kind.REFINED) | (kinds == Kind.NEW_FEATURE)).sum())
    symbols = np.arange(count * DIM, dtype=np.int32).reshape(count, DIM) - 3
    indices = np.full((ROWS, COLS), 7)
    return TokenUpdate((16 * ROWS, 16 * COLS), Fraction(1), step, (), 2, kinds.astype(np.uint8), indices, symbols)


@pytest.fixture
def state() -> TokenState:
    return TokenState.of_whole(1, tokens(np.random.default_rng(1).random((ROWS, COLS)) < 0.5))


def all_of(update: TokenUpdate) -> Any:
    return {"rows_arrived": np.ones(ROWS, bool), "features_arrived": np.ones(len(update.symbols), bool)}


def test_a_whole_picture_is_what_its_tokens_say(state: TokenState):
    whole = tokens(state.steps != NO_FEATURE)
    back = state.tokens()
    assert np.array_equal(back.indices, whole.indices) and np.array_equal(back.kept, whole.kept)
    scale = np.exp2(whole.steps[whole.kept] / 4)[:, None]
    assert back.differences is not None
    assert np.abs(back.differences - whole.symbols * scale).max() <= 2.0**-FRACTION_BITS
    assert np.array_equal(back.steps[back.kept], whole.steps[whole.kept])


def test_lost_tokens_of_a_whole_picture_are_unknown():
    lost = np.zeros((ROWS, COLS), dtype=bool)
    lost[1] = True
    state = TokenState.of_whole(1, tokens(~lost, lost))
    assert np.array_equal(state.unknown, lost) and not state.kinds[1].any()
    concealed = state.tokens().concealed
    assert concealed is not None and np.array_equal(concealed, lost)


def test_kinds_do_what_they_say(state: TokenState):
    kinds = np.zeros((ROWS, COLS), dtype=int)
    kinds[0], kinds[1], kinds[2] = Kind.REFINED, Kind.NEW, Kind.NEW_FEATURE
    update = update_of(kinds)
    after = state.updated(2, update, **all_of(update))
    assert np.array_equal(after.indices[[0, 3]], state.indices[[0, 3]]) and (after.indices[1:3] == 7).all()
    grid = (ROWS, COLS, DIM)
    old, new = (one.differences.reshape(grid).astype(int) for one in (state, after))
    assert np.array_equal(new[3], old[3]) and not new[1].any()
    assert (after.steps[1] == NO_FEATURE).all() and (after.steps[2] != NO_FEATURE).all()
    scale = np.exp2(update.step / 4 + after.steps[0] / 4 - update.step / 4)[:, None] * (1 << FRACTION_BITS)
    assert np.abs(new[0] - old[0] - update.symbols[:COLS] * scale).max() <= 1


def test_what_did_not_arrive_stays(state: TokenState):
    kinds = np.full((ROWS, COLS), Kind.REFINED)
    kinds[:, 4:] = Kind.NEW_FEATURE
    update = update_of(kinds)
    arrived = all_of(update)
    arrived["rows_arrived"][1] = False
    arrived["features_arrived"][: 2 * COLS] = False
    after = state.updated(2, update, **arrived)
    assert not after.kinds[1].any() and np.array_equal(after.steps[1], state.steps[1])
    assert (after.kinds[0, :4] == Kind.UNCHANGED).all() and (after.kinds[0, 4:] == Kind.NEW).all()
    assert (after.kinds[2, :4] == Kind.REFINED).all() and (after.kinds[3, 4:] == Kind.NEW_FEATURE).all()
    assert after.lost[1].all() and after.lost[0, :4].all() and after.lost.sum() == COLS + 4
    assert np.array_equal(after.turned(2).lost, np.roll(after.lost, 2, axis=1))
    kinds[:] = Kind.UNCHANGED
    quiet = update_of(kinds)
    assert not after.updated(3, quiet, **all_of(quiet)).lost.any()  # those who are out of date are not so for long


def test_a_full_turn_is_none(state: TokenState):
    once = state.turned(3)
    assert np.array_equal(once.indices, np.roll(state.indices, 3, axis=1))
    back = once.turned(COLS - 3)
    for name in ("indices", "steps", "differences", "kinds", "unknown"):
        assert np.array_equal(getattr(back, name), getattr(state, name))
    assert state.turned(0) is state


def test_sums_stay_in_their_range(state: TokenState):
    kinds = np.full((ROWS, COLS), Kind.REFINED)
    update = update_of(kinds, step=28)
    update.symbols[:] = 60000
    for number in range(2, 5):
        state = state.updated(number, update, **all_of(update))
    assert state.differences.max() == (1 << 15) - 1
    update.symbols[:] = -60000
    for number in range(5, 12):
        state = state.updated(number, update, **all_of(update))
    assert state.differences.min() == -(1 << 15) + 1


def test_memory_of_an_update_is_little_beside_the_state(state: TokenState):
    """However many of its tokens have symbols: a packet of a few bytes may say so of all."""
    rows, cols, dim = 128, 256, 192
    large = TokenState(
        1,
        (16 * rows, 16 * cols),
        state.reduction,
        *(np.zeros((rows, cols), kind) for kind in (np.int64, bool, np.int16)),
        np.zeros((rows * cols, dim), np.int16),
        np.zeros((rows, cols), np.uint8),
        np.zeros((rows, cols), bool),
    )
    kinds = np.full((rows, cols), Kind.REFINED, np.uint8)
    symbols = np.ones((rows * cols, dim), np.int32)
    update = replace(update_of(np.zeros((ROWS, COLS))), kinds=kinds, indices=large.indices, symbols=symbols)
    tracemalloc.start()
    after = large.updated(2, update, rows_arrived=np.ones(rows, bool), features_arrived=np.ones(rows * cols, bool))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (after.differences != 0).all() and peak < 4 * after.differences.nbytes
