"""The enhancement layer: the kept tokens' symbols in feature slices.

Beside a single index slice there is one of features, of two batches: the halves of a checkerboard, the second coded
with the first one known. Beside several, each holds a run of tokens of one index slice, and knows codes of the same row
only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.feature_context import first_half
from panolink.codec.rate_control.rd_cost import expected, known_differences
from panolink.codec.slicing import feature_parts
from panolink.codec.tokens import Tokens


def encode_features(coder: SliceCoder, tokens: Tokens) -> list[bytes]:
    """The feature slices of tokens, as a packet has them; none where nothing is kept."""
    kept, symbols = np.flatnonzero(tokens.kept), tokens.symbols
    if not len(kept):
        return []
    if tokens.slices > 1:
        classes, odds = expected(coder.tables, tokens.indices, kept, tokens.step, whole=False)
        parts = feature_parts(coder.feature_bits(symbols, classes, odds), tokens.slices)
        members = slice_members(tokens.kept, tokens.slices, parts)
        return [coder.encode_features([(symbols[m], classes[m], odds[m])]) for m in members]
    first, second = halves(tokens.kept)
    early = expected(coder.tables, tokens.indices, kept[first], tokens.step, whole=True)
    known = known_differences(coder.tables, tokens.kept.shape, kept[first], symbols[first], tokens.step)
    later = expected(coder.tables, tokens.indices, kept[second], tokens.step, whole=True, differences=known)
    return [coder.encode_features([(symbols[first], *early), (symbols[second], *later)])]


def decode_features(
    coder: SliceCoder,
    payloads: Sequence[bytes | None],
    *,
    indices: NDArray[np.int64],
    sent: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    step: int,
    slices: int,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Symbols (number sent, dim) of the tokens ``sent`` (rows, cols), and which of them arrived (number sent,).

    ``usable`` (rows, cols): tokens whose index is known; ``payloads``: the feature slices, None where lost.
    """
    places = np.flatnonzero(sent)
    symbols = np.zeros((len(places), coder.tables.levels.shape[1]), dtype=np.int32)
    received = np.zeros(len(places), dtype=bool)
    if slices > 1:
        classes, odds = expected(coder.tables, indices, places, step, whole=False)
        members = slice_members(sent, slices, len(payloads) // slices)
        for run, payload in zip(members, payloads, strict=True):
            if payload is not None and len(run) and usable.flat[places[run[0]]]:
                symbols[run] = coder.feature_reader(payload).decode(classes[run], odds[run])
                received[run] = True
        return symbols, received
    payload = payloads[0] if payloads else None
    if payload is None or not usable.all():
        return symbols, received
    reader = coder.feature_reader(payload)
    first, second = halves(sent)
    symbols[first] = reader.decode(*expected(coder.tables, indices, places[first], step, whole=True))
    known = known_differences(coder.tables, sent.shape, places[first], symbols[first], step)
    later = expected(coder.tables, indices, places[second], step, whole=True, differences=known)
    symbols[second] = reader.decode(*later)
    return symbols, ~received


def halves(kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions among the kept tokens (rows, cols) of those on the first squares of a checkerboard, and the others."""
    first = first_half(*kept.shape)[kept.ravel()]
    return np.flatnonzero(first), np.flatnonzero(~first)


def slice_members(kept: NDArray[np.bool_], slices: int, parts: int) -> list[NDArray[np.int64]]:
    """Positions among the kept tokens of each feature slice: part by part, and in it one run for each index slice."""
    rows = np.nonzero(kept)[0]
    runs = [np.array_split(np.flatnonzero(rows % slices == s), max(parts, 1)) for s in range(slices)]
    return [runs[s][p] for p in range(parts) for s in range(slices)]
