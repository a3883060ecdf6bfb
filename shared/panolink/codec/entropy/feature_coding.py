"""The enhancement layer: the kept tokens' symbols in feature slices.

Beside a single index slice stands one feature slice of two batches: the halves of a checkerboard, the second coded with
the first one known. Beside several index slices, each feature slice holds a run of tokens of one of them, and is coded
with the codes of the same row only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.coder import Batch, SliceCoder, places_by_slice
from panolink.codec.entropy.feature_context import EntropyParameters, first_half
from panolink.codec.entropy.tables import Tables
from panolink.codec.shapes import Symbols
from panolink.codec.slicing import feature_parts
from panolink.codec.tokens import Tokens
from panolink.cpu import parallel


def entropy_parameters(
    tables: Tables,
    indices: NDArray[np.int64],
    cells: NDArray[np.int64],
    steps: NDArray[np.int64],
    context: EntropyParameters,
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
    context : EntropyParameters
        Of these tokens, see `panolink.codec.entropy.feature_context.FeatureContextModel`.

    Returns
    -------
    classes, log_odds : (n, dim) each
    """
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
    kept, symbols, context = np.flatnonzero(tokens.kept), tokens.symbols, tokens.context
    if not len(kept):
        return []
    tables, indices, steps = coder.tables, tokens.indices, tokens.steps.ravel()[kept]
    if tokens.slices > 1:
        known = context or coder.feature_context(indices, kept, whole=False)
        classes, log_odds = entropy_parameters(tables, indices, kept, steps, known)
        parts = feature_parts(coder.feature_bits(symbols, classes, log_odds), tokens.slices)
        members = slice_members(tokens.kept, tokens.slices, parts)
        return parallel(lambda run: coder.encode_features([(symbols[run], classes[run], log_odds[run])]), members)
    batches, differences = list[Batch](), None
    for half in halves(tokens.kept):
        cells = kept[half]
        known = context.of(half) if context else coder.feature_context(indices, cells, differences=differences)
        batches.append((symbols[half], *entropy_parameters(tables, indices, cells, steps[half], known)))
        if not context and differences is None:
            differences = decoded_differences(tables, indices.shape, cells, symbols[half], steps[half])
    return [coder.encode_features(batches)]


def decode_features(
    coder: SliceCoder,
    payloads: Sequence[bytes | None],
    *,
    indices: NDArray[np.int64],
    sent: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    steps: NDArray[np.int64],
    slices: int,
) -> tuple[Symbols, NDArray[np.bool_]]:
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
    symbols : int16 (number sent, dim)
        0 where they were lost; int32, where one does not fit, as a transmitter's always do.
    received : bool (number sent,)

    Raises
    ------
    BitstreamError
        Where a payload does not decode.
    """
    places, steps = np.flatnonzero(sent), steps[sent]
    shape = len(places), coder.tables.levels.shape[1]
    received = np.zeros(len(places), dtype=bool)
    if slices > 1:
        context = coder.feature_context(indices, places, whole=False)
        classes, log_odds = entropy_parameters(coder.tables, indices, places, steps, context)
        members = slice_members(sent, slices, len(payloads) // slices)

        def read(one: tuple[NDArray[np.int64], bytes | None]) -> Symbols | None:
            run, payload = one
            if payload is None or not len(run) or not usable.flat[places[run[0]]]:
                return None
            return _narrow(coder.feature_reader(payload).decode(classes[run], log_odds[run]))

        decoded = parallel(read, zip(members, payloads, strict=True))
        symbols = np.zeros(shape, np.result_type(np.int16, *(part for part in decoded if part is not None)))
        for place, run in enumerate(members):
            if (part := decoded[place]) is not None:
                symbols[run], received[run], decoded[place] = part, True, None
        return symbols, received
    symbols = np.zeros(shape, dtype=np.int32)
    payload = payloads[0] if payloads else None
    if payload is None or not usable.all():
        return _narrow(symbols), received
    reader, differences = coder.feature_reader(payload), None
    for half in halves(sent):
        cells = places[half]
        context = coder.feature_context(indices, cells, differences=differences)
        symbols[half] = reader.decode(*entropy_parameters(coder.tables, indices, cells, steps[half], context))
        if differences is None:
            differences = decoded_differences(coder.tables, sent.shape, cells, symbols[half], steps[half])
    return _narrow(symbols), ~received


def _narrow(symbols: Symbols) -> Symbols:
    """The same as int16, whose magnitudes are int16 as well, where they are."""
    largest = np.iinfo(np.int16).max
    fits = not symbols.size or (int(symbols.max()) <= largest and int(symbols.min()) >= -largest)
    return symbols.astype(np.int16) if fits else symbols


def halves(kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions among the kept tokens (rows, cols) of those in each half of the checkerboard."""
    first = first_half(*kept.shape)[kept.ravel()]
    return np.flatnonzero(first), np.flatnonzero(~first)


def slice_members(kept: NDArray[np.bool_], slices: int, parts: int) -> list[NDArray[np.int64]]:
    """Positions among the kept tokens of each feature slice: part by part, and in it one run for each index slice."""
    runs = [np.array_split(places, max(parts, 1)) for places in places_by_slice(np.nonzero(kept)[0], slices)]
    return [runs[s][p] for p in range(parts) for s in range(slices)]
