"""The enhancement layer: the kept tokens' symbols in feature slices.

Beside a single index slice stands one feature slice of two batches: the halves of a checkerboard, the second coded with
the first one known. Beside several index slices, each feature slice holds a run of tokens of one of them, and is coded
with the codes of the same row only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.feature_context import first_half
from panolink.codec.entropy.tables import Tables
from panolink.codec.slicing import feature_parts
from panolink.codec.tokens import Tokens
from panolink.cpu import parallel


def entropy_parameters(
    tables: Tables,
    indices: NDArray[np.int64],
    cells: NDArray[np.int64],
    steps: NDArray[np.int64],
    *,
    whole: bool,
    differences: NDArray[np.int8] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Scale classes and log odds of signs with which tokens are coded.

    Parameters
    ----------
    tables : Tables
    indices : (rows, cols)
    cells : (n,)
        Flat positions of the tokens.
    steps : (n,)
        Their quantisation steps, quarter octaves.
    whole, differences
        See `panolink.codec.entropy.feature_context.FeatureContextModel`.

    Returns
    -------
    classes, log_odds : (n, dim) each
    """
    context = tables.feature_context(indices, cells, whole=whole, differences=differences)
    return tables.classes(indices.ravel()[cells], steps, context), context.log_odds


def decoded_differences(
    tables: Tables,
    shape: tuple[int, ...],
    cells: NDArray[np.int64],
    symbols: NDArray[np.signedinteger],
    steps: NDArray[np.int64],
) -> NDArray[np.int8]:
    """Symbols (n, dim) of the tokens ``cells`` (n,), in ``steps`` (n,) quarter octaves, as the feature context model
    takes them.

    Returns
    -------
    int8 (rows, cols, V)
        0 at all other tokens of the grid of ``shape`` (rows, cols).
    """
    rows, cols = shape
    values = np.zeros((rows * cols, len(tables.feature_context.units)), dtype=np.int8)
    values[cells] = tables.feature_context.as_inputs(symbols, steps)
    return values.reshape(rows, cols, -1)


def encode_features(coder: SliceCoder, tokens: Tokens) -> list[bytes]:
    """Feature slices of a panorama's kept tokens, part by part as in a packet; none where nothing is kept."""
    kept, symbols = np.flatnonzero(tokens.kept), tokens.symbols
    if not len(kept):
        return []
    steps = tokens.steps.ravel()[kept]
    if tokens.slices > 1:
        classes, log_odds = entropy_parameters(coder.tables, tokens.indices, kept, steps, whole=False)
        parts = feature_parts(coder.feature_bits(symbols, classes, log_odds), tokens.slices)
        members = slice_members(tokens.kept, tokens.slices, parts)
        return parallel(lambda run: coder.encode_features([(symbols[run], classes[run], log_odds[run])]), members)
    first, second = halves(tokens.kept)
    early = entropy_parameters(coder.tables, tokens.indices, kept[first], steps[first], whole=True)
    differences = decoded_differences(coder.tables, tokens.kept.shape, kept[first], symbols[first], steps[first])
    later = entropy_parameters(
        coder.tables, tokens.indices, kept[second], steps[second], whole=True, differences=differences
    )
    return [coder.encode_features([(symbols[first], *early), (symbols[second], *later)])]


def decode_features(
    coder: SliceCoder,
    payloads: Sequence[bytes | None],
    *,
    indices: NDArray[np.int64],
    sent: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    steps: NDArray[np.int64],
    slices: int,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Inverse of `encode_features`.

    Parameters
    ----------
    coder : SliceCoder
    payloads : sequence of bytes or None
        The feature slices, None where lost.
    indices : (rows, cols)
    sent : bool (rows, cols)
        Tokens that the transmitter kept.
    usable : bool (rows, cols)
        Tokens whose index is known.
    steps : (rows, cols)
        Quantisation steps, quarter octaves.
    slices : int
        Index slices of the packet.

    Returns
    -------
    symbols : int32 (number sent, dim)
        0 where they were lost.
    received : bool (number sent,)

    Raises
    ------
    BitstreamError
        Where a payload does not decode.
    """
    places, steps = np.flatnonzero(sent), steps[sent]
    symbols = np.zeros((len(places), coder.tables.levels.shape[1]), dtype=np.int32)
    received = np.zeros(len(places), dtype=bool)
    if slices > 1:
        classes, log_odds = entropy_parameters(coder.tables, indices, places, steps, whole=False)
        members = slice_members(sent, slices, len(payloads) // slices)

        def read(one: tuple[NDArray[np.int64], bytes | None]) -> None:
            run, payload = one
            if payload is not None and len(run) and usable.flat[places[run[0]]]:
                symbols[run] = coder.feature_reader(payload).decode(classes[run], log_odds[run])
                received[run] = True

        parallel(read, zip(members, payloads, strict=True))
        return symbols, received
    payload = payloads[0] if payloads else None
    if payload is None or not usable.all():
        return symbols, received
    reader = coder.feature_reader(payload)
    first, second = halves(sent)
    early = entropy_parameters(coder.tables, indices, places[first], steps[first], whole=True)
    symbols[first] = reader.decode(*early)
    differences = decoded_differences(coder.tables, sent.shape, places[first], symbols[first], steps[first])
    later = entropy_parameters(
        coder.tables, indices, places[second], steps[second], whole=True, differences=differences
    )
    symbols[second] = reader.decode(*later)
    return symbols, ~received


def halves(kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions among the kept tokens (rows, cols) of those in each half of the checkerboard."""
    first = first_half(*kept.shape)[kept.ravel()]
    return np.flatnonzero(first), np.flatnonzero(~first)


def slice_members(kept: NDArray[np.bool_], slices: int, parts: int) -> list[NDArray[np.int64]]:
    """Positions among the kept tokens of each feature slice: part by part, and in it one run for each index slice."""
    rows = np.nonzero(kept)[0]
    runs = [np.array_split(np.flatnonzero(rows % slices == s), max(parts, 1)) for s in range(slices)]
    return [runs[s][p] for p in range(parts) for s in range(slices)]
