"""Range coder: intervals of a cumulative distribution as bytes, and back, in numba kernels without the GIL.

The bits are those of the range coder of ``constriction`` (64-bit state, 32-bit words, probabilities in 2^−24), with
which the first versions wrote their files; tests compare the two. Its Python interface takes one model a call, holds
the GIL and evaluates whole distributions, which cost more than all networks of integers together. Here a slice is
coded in one call, and slices in parallel threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.jit import kernel

PRECISION = 24
"""cumulative distributions count in 2^−PRECISION"""

WHOLE = 1 << PRECISION
"""end of a cumulative distribution"""

LOWER, SIZE, POINT, POSITION = range(4)
"""of the decoder's state, uint64 (4,): start and size of the interval, the coded point, words read"""

_WORD, _PRECISION = np.uint64(32), np.uint64(PRECISION)
_ONE, _SMALL, _ALL = np.uint64(1), np.uint64(1 << 32), np.uint64((1 << 64) - 1)


def cumulative(frequencies: NDArray[np.integer], total: int) -> NDArray[np.uint32]:
    """Cumulative distributions of frequency tables, the end of the last symbol included.

    Parameters
    ----------
    frequencies : (rows, K)
        Positive, each row summing to ``total``.
    total : int
        A power of two, at most 2^16.

    Returns
    -------
    uint32 (rows, K + 1)
        Symbol k has [c_k, c_{k+1}) of `WHOLE`. Every symbol has one count of its own; the rest is dealt out in
        proportion, rounded as a float32 product is.
    """
    rows, symbols = frequencies.shape
    start = np.zeros((rows, symbols), dtype=np.float32)
    start[:, 1:] = np.cumsum(frequencies, axis=1)[:, :-1]
    scaled = (start / np.float32(total)) * np.float32(WHOLE - symbols)
    table = np.full((rows, symbols + 1), WHOLE, dtype=np.uint32)
    table[:, :-1] = scaled.astype(np.uint32) + np.arange(symbols, dtype=np.uint32)
    return table


def encode(start: NDArray[np.uint32], width: NDArray[np.uint32]) -> bytes:
    """Intervals in coding order as bytes.

    Parameters
    ----------
    start, width : uint32 (n,)
        Of each symbol's interval in a cumulative distribution of `WHOLE`.

    Returns
    -------
    bytes
        Zeros at the end are left out: the decoder reads zeros there.
    """
    words = np.empty(len(start) + 2, dtype=np.uint32)
    count = _encode(start, width, words)
    return words[:count].astype("<u4", copy=False).tobytes().rstrip(b"\0")


def decoder(payload: bytes) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """State and words with which kernels decode a payload symbol by symbol: see `quantile` and `advance`."""
    padded = payload + bytes(-len(payload) % 4)
    words = np.zeros(max(2, len(padded) // 4), dtype=np.uint32)
    words[: len(padded) // 4] = np.frombuffer(padded, dtype="<u4")
    point = (int(words[0]) << 32) | int(words[1])
    return np.array([0, (1 << 64) - 1, point, 2], dtype=np.uint64), words


@kernel
def _encode(start, width, words):
    lower, size, count = np.uint64(0), _ALL, 0
    for place in range(len(start)):
        unit = size >> _PRECISION
        before = lower
        lower = lower + unit * np.uint64(start[place])
        size = unit * np.uint64(width[place])
        if lower < before:
            _carry(words, count)
        if size < _SMALL:
            words[count] = np.uint32(lower >> _WORD)
            count += 1
            lower, size = lower << _WORD, size << _WORD
    if len(start):
        point = lower + (_SMALL - _ONE)
        if point < lower:
            _carry(words, count)
        words[count] = np.uint32(point >> _WORD)
        count += 1
    return count


@kernel
def _carry(words, count):
    """Add one to the number that the first ``count`` words are."""
    place = count - 1
    while words[place] == np.uint32(0xFFFFFFFF):
        words[place] = np.uint32(0)
        place -= 1
    words[place] += np.uint32(1)


@kernel
def quantile(state):
    """Where in `WHOLE` the next symbol's interval lies; `WHOLE` or more where the payload is corrupt."""
    return np.int64(min((state[POINT] - state[LOWER]) // (state[SIZE] >> _PRECISION), np.uint64(WHOLE)))


@kernel
def advance(state, words, start, width):
    """Step past a symbol whose interval is given."""
    unit = state[SIZE] >> _PRECISION
    state[LOWER] += unit * np.uint64(start)
    state[SIZE] = unit * np.uint64(width)
    if state[SIZE] < _SMALL:
        state[LOWER] = state[LOWER] << _WORD
        state[SIZE] = state[SIZE] << _WORD
        state[POINT] = state[POINT] << _WORD
        if state[POSITION] < np.uint64(len(words)):
            state[POINT] |= np.uint64(words[state[POSITION]])
            state[POSITION] += _ONE


@kernel
def decode_run(state, words, tables, rows, symbols):
    """Decode n symbols, each with the cumulative distribution that ``rows`` (n,) names of ``tables`` (R, K + 1), into
    ``symbols`` (n,). False where the payload is corrupt."""
    lower, size, point, position = state[LOWER], state[SIZE], state[POINT], state[POSITION]
    for number in range(len(symbols)):
        table = tables[rows[number]]
        unit, offset = size >> _PRECISION, point - lower
        if offset >= unit << _PRECISION:
            return False
        symbol, first, last = 0, np.uint64(0), unit * np.uint64(table[1])
        while last <= offset:  # products in place of a division: most symbols are the first one
            symbol += 1
            first, last = last, unit * np.uint64(table[symbol + 1])
        symbols[number] = symbol
        lower += first
        size = last - first
        if size < _SMALL:
            lower, size, point = lower << _WORD, size << _WORD, point << _WORD
            if position < np.uint64(len(words)):
                point |= np.uint64(words[position])
                position += _ONE
    state[LOWER], state[SIZE], state[POINT], state[POSITION] = lower, size, point, position
    return True


@kernel
def decode_places(state, words, table, places, symbols):
    """Decode n symbols of one cumulative distribution (K + 1,); put those that are not 0 where ``places`` (n,) says in
    ``symbols``, and leave all else there as it is. False where the payload is corrupt."""
    # Like `decode_run` to the letter where words are taken in: as a function of both, either takes half as long again.
    lower, size, point, position = state[LOWER], state[SIZE], state[POINT], state[POSITION]
    first_end = np.uint64(table[1])
    for number in range(len(places)):
        unit, offset = size >> _PRECISION, point - lower
        if offset >= unit << _PRECISION:
            return False
        last = unit * first_end
        if offset < last:  # most symbols are 0
            size = last
        else:
            symbol, first = 0, np.uint64(0)
            while last <= offset:
                symbol += 1
                first, last = last, unit * np.uint64(table[symbol + 1])
            symbols[places[number]] = symbol
            lower += first
            size = last - first
        if size < _SMALL:
            lower, size, point = lower << _WORD, size << _WORD, point << _WORD
            if position < np.uint64(len(words)):
                point |= np.uint64(words[position])
                position += _ONE
    state[LOWER], state[SIZE], state[POINT], state[POSITION] = lower, size, point, position
    return True
