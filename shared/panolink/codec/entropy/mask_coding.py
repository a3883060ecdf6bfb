"""Which tokens are kept, as bytes and back: bits of six contexts, over the two halves of a checkerboard.

Of the first half nothing is known; of the second, how many of the four neighbours are kept. A probability in 1/256 for
each context stands in front of the coded bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.range_coder import WHOLE, decode_run, decoder, encode
from panolink.codec.shapes import MaskGrid
from panolink.errors import BitstreamError
from panolink.jit import kernel

CONTEXTS = 6


def encode_mask(kept: MaskGrid) -> bytes:
    """The mask slice of a grid (rows, cols)."""
    kept = np.ascontiguousarray(kept)
    context = np.empty(kept.shape, dtype=np.uint8)
    _first_contexts(context)
    _second_contexts(kept, context)
    bits = np.bincount(2 * context.ravel() + kept.ravel(), minlength=2 * CONTEXTS).reshape(CONTEXTS, 2)
    share = bits[:, 1] / np.maximum(bits.sum(axis=1), 1)
    probabilities = np.where(bits.any(axis=1), np.clip(np.rint(256 * share), 1, 255), 0).astype(np.uint8)
    start, width = np.empty(kept.size, dtype=np.uint32), np.empty(kept.size, dtype=np.uint32)
    places = np.concatenate([[0], np.cumsum(bits.sum(axis=1))])
    _intervals(kept, context, places, _tables(probabilities), start, width)
    return probabilities.tobytes() + encode(start, width)


def decode_mask(payload: bytes, rows: int, cols: int) -> MaskGrid:
    """Inverse of `encode_mask`, for a grid of ``rows`` × ``cols``.

    Raises
    ------
    BitstreamError
        Where the payload is too short or does not decode.
    """
    if len(payload) < CONTEXTS:
        raise BitstreamError(f"mask slice of {len(payload)} bytes; at least {CONTEXTS} are needed")
    kept, context = np.zeros((rows, cols), dtype=np.bool_), np.empty((rows, cols), dtype=np.uint8)
    tables = _tables(np.frombuffer(payload[:CONTEXTS], dtype=np.uint8))
    state, words = decoder(payload[CONTEXTS:])
    _first_contexts(context)
    intact = _decode(state, words, context, 0, 1, tables, kept)
    _second_contexts(kept, context)
    if not (intact and _decode(state, words, context, 1, CONTEXTS, tables, kept)):
        raise BitstreamError("entropy-coded mask does not decode")
    return kept


def _tables(probabilities: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Cumulative distributions of bits with P(1) = probability/256, uint32 (CONTEXTS, 3)."""
    share = np.maximum(probabilities, 1).astype(np.float32) / np.float32(256)
    table = np.zeros((len(probabilities), 3), dtype=np.uint32)
    table[:, 1] = ((1 - share) * np.float32(WHOLE - 2)).astype(np.uint32) + 1
    table[:, 2] = WHOLE
    return table


@kernel
def _first_contexts(context):
    """Context 0 for the first half."""
    rows, cols = context.shape
    for row in range(rows):
        for col in range(row % 2, cols, 2):
            context[row, col] = 0


@kernel
def _second_contexts(kept, context):
    """1 + the number of neighbours in the first half that are kept, for the second half; columns wrap."""
    rows, cols = kept.shape
    for row in range(rows):
        for col in range(1 - row % 2, cols, 2):
            count = 1
            for side in ((col - 1) % cols, (col + 1) % cols):
                count += kept[row, side] and (row + side) % 2 == 0
            if row > 0:
                count += kept[row - 1, col]
            if row + 1 < rows:
                count += kept[row + 1, col]
            context[row, col] = count


@kernel
def _intervals(kept, context, places, tables, start, width):
    for row in range(kept.shape[0]):
        for col in range(kept.shape[1]):
            one, bit = context[row, col], 1 if kept[row, col] else 0
            at = places[one]
            places[one] += 1
            start[at] = tables[one, bit]
            width[at] = tables[one, bit + 1] - tables[one, bit]


@kernel
def _decode(state, words, context, first, last, tables, kept):
    """Decode the cells of the contexts from ``first`` up to ``last``, context by context."""
    rows, cols = kept.shape
    places, of = np.empty(kept.size, np.int32), np.empty(kept.size, np.uint8)
    count = 0
    for one in range(first, last):
        for row in range(rows):
            for col in range((row + (one > 0)) % 2, cols, 2):
                if context[row, col] == one:
                    places[count], of[count] = row * cols + col, one
                    count += 1
    found = np.empty(count, np.uint8)
    if not decode_run(state, words, tables, of[:count], found):
        return False
    for number in range(count):
        kept[places[number] // cols, places[number] % cols] = found[number] == 1
    return True
