"""Entropy coding of a stream's packet: kinds and new indices in index slices, symbols in feature slices or with them.

A slice decodes with nothing but the reference, of which all rows are known, whatever is lost of the packet itself. So
contexts come from the slice's own rows as far as they are new, and from the reference elsewhere. Symbols need their
rows' kinds: where all slices are lost alike, they stand in the index slice, so that no loss takes two; where a link
protects index slices better, apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from panolink.codec.bitstream import read_varint, varint
from panolink.codec.entropy.coder import CHUNK, SliceCoder
from panolink.codec.entropy.feature_coding import slice_members
from panolink.codec.entropy.feature_context import CODE_NEIGHBOURS, EntropyParameters, first_half
from panolink.codec.entropy.index_context import (
    TOTAL,
    WHOLE_GRID,
    bands_of,
    decode_rows,
    interval,
    neighbours_of,
)
from panolink.codec.entropy.range_coder import decoder, encode
from panolink.codec.entropy.tables import CLASSES, Tables
from panolink.codec.slicing import feature_parts
from panolink.codec.streaming.kind_coding import decode_kinds, encode_kinds, kinds_to_shares
from panolink.codec.streaming.state import NO_FEATURE, Kind, TokenState, TokenUpdate, with_symbols
from panolink.errors import BitstreamError
from panolink.jit import kernel

REFINEMENT_LEVEL = -7
"""quarter octaves: Laplace scale of what is left of a difference, in the step with which it was sent"""

_PASS = len(WHOLE_GRID) - 1
"""of the index context model: a token between four known ones"""


def merged_codes(
    reference: TokenState, indices: NDArray[np.int64], cells: NDArray[np.int64], outside: int, *, whole: bool
) -> NDArray[np.int64]:
    """Codes at CODE_NEIGHBOURS of tokens: of their own row from ``indices``, of others from the reference.

    Parameters
    ----------
    reference : TokenState
    indices : (rows, cols)
        With the new ones.
    cells : (n,)
        Flat positions.
    outside : int
        Stands for a neighbour beyond a pole, or unknown.
    whole : bool
        There is one slice, so that all rows are its own.
    """
    places = neighbours_of(cells, indices.shape, CODE_NEIGHBOURS)
    new = np.append(indices, outside)
    old = new if whole else reference.known_indices(outside)
    own = np.array([down == 0 for down, _ in CODE_NEIGHBOURS])
    return np.where(own, new[places], old[places])


def initial_classes(
    tables: Tables,
    reference: TokenState,
    update: TokenUpdate,
    cells: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Scale classes before adaptation, and log odds of signs, of tokens ``cells`` (n,) with symbols; (n, dim) each."""
    rows, cols = update.kinds.shape
    steps = update.steps.ravel()[cells]
    before = reference.steps.ravel()[cells]
    fresh = (update.kinds.ravel()[cells] == Kind.NEW_FEATURE) | (before == NO_FEATURE)
    codes = merged_codes(reference, update.indices, cells[fresh], tables.codes, whole=update.slices == 1)
    context = context_of_fresh(tables, fresh, codes, bands_of(rows)[cells[fresh] // cols])
    classes = tables.classes(update.indices.ravel()[cells], steps, context)
    return np.minimum(classes, class_limits(steps, before, fresh)[:, None]).astype(np.uint8), context.log_odds


def class_limits(
    steps: NDArray[np.int64], reference_steps: NDArray[np.integer], fresh: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Largest scale class of each of n tokens before adaptation.

    Parameters
    ----------
    steps, reference_steps : (n,)
        Quantisation steps, and those with which the reference's features were sent.
    fresh : bool (n,)
        Tokens whose feature is sent for the first time: scales are their codes', corrected by their neighbours'. Others
        have left what the reference's step left of them, or less where their code's scale is smaller.
    """
    left = 16 + REFINEMENT_LEVEL + reference_steps.astype(np.int64) - steps
    return np.where(fresh, CLASSES - 1, np.clip(left, 1, CLASSES - 1))


def context_of_fresh(
    tables: Tables, fresh: NDArray[np.bool_], codes: NDArray[np.integer], bands: NDArray[np.int64]
) -> EntropyParameters:
    """What the feature context model predicts of the ``fresh`` (n,) among n tokens, whose ``codes`` and ``bands`` are
    given; nothing of the others."""
    shifts, log_odds = (np.zeros((len(fresh), tables.levels.shape[1]), dtype=np.int8) for _ in range(2))
    if fresh.any():
        found = tables.feature_context.of_codes(codes, bands)
        shifts[fresh], log_odds[fresh] = found.shifts, found.log_odds
    return EntropyParameters(shifts, log_odds)


def code_update(
    coder: SliceCoder, reference: TokenState, update: TokenUpdate, *, joined: bool = False
) -> tuple[list[bytes], list[bytes], tuple[int, int]]:
    """Index slices, feature slices (none where they are ``joined``), and the shares for the header."""
    shares = kinds_to_shares(update.kinds)
    kept = np.flatnonzero(update.kept)
    if not len(kept):
        return _code_indices(coder, reference, update, shares, []), [], shares
    classes, log_odds = initial_classes(coder.tables, reference, update, kept)
    bits = 0.0 if joined else coder.feature_bits(update.symbols, classes, log_odds)
    members = slice_members(update.kept, update.slices, 1 if joined else feature_parts(bits, update.slices))
    features = [
        coder.encode_features([(update.symbols[run], classes[run], log_odds[run])]) if len(run) else b""
        for run in members
    ]
    indices = _code_indices(coder, reference, update, shares, features if joined else [])
    return indices, [] if joined else features, shares


def decode_update(
    coder: SliceCoder,
    reference: TokenState,
    *,
    empty: TokenUpdate,
    shares: tuple[int, int],
    indices: Sequence[bytes | None],
    features: Sequence[bytes | None],
) -> tuple[TokenUpdate, NDArray[np.bool_], NDArray[np.bool_]]:
    """Inverse of `code_update`.

    Parameters
    ----------
    empty : TokenUpdate
        What the packet's header says: size, step, focus, slices.
    indices, features
        Payloads, None where lost. Without feature slices, symbols are in the index slices.

    Returns
    -------
    update : TokenUpdate
        Tokens of lost index slices are unchanged in it.
    rows_arrived : bool (rows,)
    features_arrived : bool (number of ``update.kept``,)

    Raises
    ------
    BitstreamError
        Where a payload does not decode.
    """
    kinds, found, rows_arrived, tails = _decode_indices(coder, reference, indices, empty, shares, joined=not features)
    dim = coder.tables.levels.shape[1]
    count = int(with_symbols(kinds).sum())
    update = replace(empty, kinds=kinds, indices=found, symbols=np.zeros((count, dim), dtype=np.int32))
    kept = np.flatnonzero(update.kept)
    arrived = np.zeros(len(kept), dtype=bool)
    if len(kept):
        features = features or tails
        if len(features) % empty.slices:
            raise BitstreamError(f"{len(features)} feature slices beside {empty.slices} index slices")
        classes, log_odds = initial_classes(coder.tables, reference, update, kept)
        members = slice_members(update.kept, empty.slices, len(features) // empty.slices)
        for run, payload in zip(members, features, strict=True):
            if payload is not None and len(run):
                update.symbols[run] = coder.feature_reader(payload).decode(classes[run], log_odds[run])
                arrived[run] = True
    return update, rows_arrived, arrived


def new_index_frequencies(
    coder: SliceCoder, reference: TokenState, own: NDArray[np.int64], cells: NDArray[np.int64], *, whole: bool
) -> NDArray[np.int64]:
    """Probabilities of the indices of new tokens.

    Parameters
    ----------
    reference : TokenState
        Its own index is one that a new token no longer has.
    own : (rows · cols + 1,)
        Indices as far as they are decoded; K where unknown, and at the end.
    cells : (n,)
        Flat positions of the tokens.
    whole : bool
        There is one slice, so that all rows are its own; of others the reference is known.

    Returns
    -------
    int64 (n, K)
        Positive, in 1/TOTAL; 1 for the reference's index.
    """
    rows, cols = reference.shape
    outside, offsets = coder.tables.codes, WHOLE_GRID[_PASS].neighbours
    known = reference.known_indices(outside)
    places = neighbours_of(cells, (rows, cols), offsets)
    beside = np.array([whole or down == 0 for down, _ in offsets])
    neighbours = np.where(beside, own[places], known[places])
    frequencies = coder.tables.index_context.frequencies(_PASS, neighbours, bands_of(rows)[cells // cols])
    return _without(frequencies.astype(np.int64), known[cells])


def _without(frequencies: NDArray[np.int64], excluded: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row without one of its codes (none: K): what that one had goes to all others in proportion."""
    tokens, codes = frequencies.shape
    some = np.flatnonzero(excluded < codes)
    frequencies[some, excluded[some]] = 0
    shared = 1 + frequencies * (TOTAL - codes) // frequencies.sum(axis=1, keepdims=True)
    shared[np.arange(tokens), frequencies.argmax(axis=1)] += TOTAL - shared.sum(axis=1)
    return shared


@kernel
def _intervals(frequencies, indices, start, width):
    for token in range(len(indices)):
        start[token], width[token] = interval(frequencies[token], indices[token])


def _new_tokens(
    coder: SliceCoder, reference: TokenState, kinds: NDArray[np.uint8], indices: NDArray[np.int64], slices: int
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.uint16]]]:
    """Yield slice, cells and frequencies of the new tokens: the halves of a checkerboard, the second with the first
    known.

    ``indices`` (flat) is read for the second half only after all of the first has been yielded.
    """
    rows, cols = kinds.shape
    outside, new, early = coder.tables.codes, (kinds >= Kind.NEW).ravel(), first_half(rows, cols)
    own = reference.known_indices(outside)
    own[:-1][new] = outside
    for half in (new & early, new & ~early):
        cells = np.flatnonzero(half)
        for begin in range(0, len(cells), CHUNK):
            some = cells[begin : begin + CHUNK]
            frequencies = new_index_frequencies(coder, reference, own, some, whole=slices == 1).astype(np.uint16)
            of_slice = some // cols % slices
            for number in np.unique(of_slice).tolist():
                members = np.flatnonzero(of_slice == number)
                yield number, some[members], frequencies[members]
        own[cells] = indices[cells]


def _code_indices(
    coder: SliceCoder, reference: TokenState, update: TokenUpdate, shares: tuple[int, int], features: list[bytes]
) -> list[bytes]:
    """Index slices: length of the kinds, kinds, new indices. Nothing at all where nothing has changed.

    With ``features``, one for each slice, those that have some go on: length of the new indices, these, features.
    """
    steps = update.steps
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(update.slices)]
    flat = update.indices.ravel()
    for number, cells, frequencies in _new_tokens(coder, reference, update.kinds, flat, update.slices):
        first, width = (np.empty(len(cells), dtype=np.uint32) for _ in range(2))
        _intervals(frequencies, flat[cells], first, width)
        parts[number].append((first, width))
    payloads = []
    for start, intervals in enumerate(parts):
        kinds = encode_kinds(update.kinds, reference, steps, slice(start, None, update.slices), shares)
        new = encode(*(np.concatenate(part) for part in zip(*intervals, strict=True))) if intervals else b""
        if features and features[start]:
            new = varint(len(new)) + new + features[start]
        payloads.append(varint(len(kinds)) + kinds + new if kinds else b"")
    return payloads


def _decode_indices(
    coder: SliceCoder,
    reference: TokenState,
    payloads: Sequence[bytes | None],
    empty: TokenUpdate,
    shares: tuple[int, int],
    *,
    joined: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_], list[bytes | None]]:
    """Kinds and indices (rows, cols) as far as their slices arrived, of which rows (rows,) they did, and where symbols
    are ``joined`` what stands after the indices."""
    slices, steps = empty.slices, empty.steps
    tails: list[bytes | None] = [None] * slices
    kinds, found, arrived = empty.kinds.copy(), reference.indices.copy(), np.zeros(len(steps), dtype=bool)
    decoders = {}
    for start, payload in enumerate(payloads):
        if payload is None:
            continue
        own = slice(start, None, slices)
        arrived[own] = True
        coded, rest = _first_of(payload)
        kinds[own] = decode_kinds(coded, reference, steps, own, shares)
        if joined and with_symbols(kinds[own]).any():
            rest, tails[start] = _first_of(rest)
        decoders[start] = decoder(rest)
    flat = found.reshape(-1)
    for number, cells, frequencies in _new_tokens(coder, reference, kinds, flat, slices):
        decoded = np.empty(len(cells), dtype=np.int64)
        if not decode_rows(*decoders[number], frequencies, decoded):
            raise BitstreamError("entropy-coded indices of new tokens do not decode")
        flat[cells] = decoded
    return kinds, found, arrived, tails


def _first_of(payload: bytes) -> tuple[bytes, bytes]:
    """What stands after a length, and the rest."""
    length, begin = read_varint(payload, "index slice") if payload else (0, 0)
    if begin + length > len(payload):
        raise BitstreamError(f"index slice names {length} bytes, and has {len(payload) - begin}")
    return payload[begin : begin + length], payload[begin + length :]
