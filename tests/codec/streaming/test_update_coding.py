from dataclasses import replace

import numpy as np
import pytest

from panolink.codec.bitstream import read_varint
from panolink.codec.codec import Codec
from panolink.codec.streaming.state import Kind, TokenState, TokenUpdate
from panolink.codec.streaming.update_coding import (
    REFINEMENT_LEVEL,
    class_limits,
    code_update,
    decode_update,
    initial_classes,
    merged_codes,
    new_index_frequencies,
)
from panolink.errors import BitstreamError


@pytest.fixture
def reference(tiny: Codec, panorama: np.ndarray) -> TokenState:
    return TokenState.of_whole(1, tiny.unpack(tiny.encode(panorama, bpp=0.5)))


def update_of(tiny: Codec, reference: TokenState, slices: int, step: int = 2) -> TokenUpdate:
    random = np.random.default_rng(3)
    kinds = random.choice(4, reference.shape, p=[0.5, 0.2, 0.1, 0.2]).astype(np.uint8)
    codes = tiny.quantizer.tables.codes
    other = (reference.indices + random.integers(1, codes, reference.shape)) % codes
    indices = np.where(kinds >= Kind.NEW, other, reference.indices)
    kept = (kinds == Kind.REFINED) | (kinds == Kind.NEW_FEATURE)
    symbols = random.integers(-2, 3, (int(kept.sum()), reference.differences.shape[1])).astype(np.int32)
    update = TokenUpdate(reference.size, reference.reduction, step, (), slices, kinds, indices, symbols)
    classes, _ = initial_classes(tiny.quantizer.tables, reference, update, np.flatnonzero(kept))
    symbols[classes == 0] = 0
    return update


def empty(update: TokenUpdate, reference: TokenState) -> TokenUpdate:
    nothing = np.zeros((0, update.symbols.shape[1]), dtype=np.int32)
    return replace(update, kinds=np.zeros_like(update.kinds), indices=reference.indices, symbols=nothing)


@pytest.mark.slow
@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("slices", [1, 2, 4])
def test_round_trip(tiny: Codec, reference: TokenState, slices: int, joined: bool):
    update, coder = update_of(tiny, reference, slices), tiny.quantizer.coder
    indices, features, shares = code_update(coder, reference, update, joined=joined)
    assert bool(features) != joined
    found, rows, arrived = decode_update(
        coder, reference, empty=empty(update, reference), shares=shares, indices=indices, features=features
    )
    assert rows.all() and arrived.all()
    for name in ("kinds", "indices", "symbols"):
        assert np.array_equal(getattr(found, name), getattr(update, name)), name


@pytest.mark.parametrize("lost", [0, 1])
def test_a_slice_decodes_whatever_is_lost_beside_it(tiny: Codec, reference: TokenState, lost: int):
    update, coder = update_of(tiny, reference, 2), tiny.quantizer.coder
    indices, features, shares = code_update(coder, reference, update)
    some: list[bytes | None] = [None if place == lost else payload for place, payload in enumerate(indices)]
    # Features of the lost rows cannot be read; those of the others can.
    arrived = [None if place % 2 == lost else payload for place, payload in enumerate(features)]
    found, rows, got = decode_update(
        coder, reference, empty=empty(update, reference), shares=shares, indices=some, features=arrived
    )
    there = np.arange(reference.shape[0]) % 2 != lost
    assert np.array_equal(rows, there) and got.all()
    assert np.array_equal(found.kinds[there], update.kinds[there]) and not found.kinds[~there].any()
    assert np.array_equal(found.indices[there], update.indices[there])
    mine = there[np.nonzero(update.kept)[0]]
    assert np.array_equal(found.symbols, update.symbols[mine])


def test_symbols_in_an_index_slice_are_lost_with_it_and_with_nothing_else(tiny: Codec, reference: TokenState):
    update, coder = update_of(tiny, reference, 2), tiny.quantizer.coder
    indices, features, shares = code_update(coder, reference, update, joined=True)
    found, rows, got = decode_update(
        coder, reference, empty=empty(update, reference), shares=shares, indices=[None, indices[1]], features=features
    )
    there = np.arange(reference.shape[0]) % 2 == 1
    assert np.array_equal(rows, there) and got.all()
    assert np.array_equal(found.symbols, update.symbols[there[np.nonzero(update.kept)[0]]])


def test_the_reference_index_is_not_among_the_new_ones(tiny: Codec, reference: TokenState):
    cells = np.arange(10)
    own = np.append(reference.indices.ravel(), tiny.quantizer.tables.codes)
    found = new_index_frequencies(tiny.quantizer.coder, reference, own, cells, whole=True)
    old = reference.indices.ravel()[cells]
    assert (found[np.arange(10), old] == 1).all() and (found.sum(axis=1) == 1 << 16).all() and found.min() > 0


def test_codes_of_other_slices_are_the_references(tiny: Codec, reference: TokenState):
    rows, cols = reference.shape
    indices = np.full((rows, cols), 1)
    cell = np.array([2 * cols + 3])
    (codes,) = merged_codes(reference, indices, cell, 99, whole=False)
    assert codes[0] == codes[3] == codes[4] == 1
    assert codes[1] == reference.indices[1, 3] and codes[2] == reference.indices[3, 3]
    assert (merged_codes(reference, indices, cell, 99, whole=True) == 1).all()


def test_what_is_left_of_a_difference_is_smaller_than_its_step():
    steps, before = np.array([0, 0, 0, 40]), np.array([4, 12, 12, 12], dtype=np.int16)
    limits = class_limits(steps, before, np.array([False, False, True, False]))
    assert limits.tolist() == [16 + REFINEMENT_LEVEL + 4, 16 + REFINEMENT_LEVEL + 12, 32, 1]


def test_payloads_that_make_no_sense(tiny: Codec, reference: TokenState):
    update, coder = update_of(tiny, reference, 2), tiny.quantizer.coder
    indices, features, shares = code_update(coder, reference, update)
    about = {"empty": empty(update, reference), "shares": shares}
    with pytest.raises(BitstreamError, match="index slice names 127 bytes"):
        decode_update(coder, reference, **about, indices=[b"\x7f\x01", indices[1]], features=features)
    with pytest.raises(BitstreamError, match="index slice is truncated"):
        decode_update(coder, reference, **about, indices=[b"\x80", indices[1]], features=features)
    with pytest.raises(BitstreamError, match="feature slices"):
        decode_update(coder, reference, **about, indices=indices, features=features[:1])
    joined, _, _ = code_update(coder, reference, update, joined=True)
    kinds, begin = read_varint(joined[0], "index slice")
    cut = joined[0][: begin + kinds + 2]  # names new indices, and has none
    with pytest.raises(BitstreamError, match="index slice names"):
        decode_update(coder, reference, **about, indices=[cut, joined[1]], features=[])
