"""Adaptive binary range coder: a bit at a time, each with a probability that follows what its context has seen.

For maps of a few hundred decisions whose statistics differ from picture to picture. The arithmetic is LZMA's (32-bit
range, carry propagation); zeros at the end are left out, the decoder reads zeros there, so that a map whose decisions
are all 0 takes no byte at all.

The coder's state is an int64 array, so that kernels can hold it: see `new_encoder` and `new_decoder`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.jit import kernel

PROBABILITY_BITS = 15

_LOW, _RANGE, _CACHE, _PENDING, _POSITION = range(5)
_FULL = (1 << 32) - 1
_SMALLEST = 1 << 24
_SLOWEST = 6  # a probability moves by 2^−6 of what is left, at last


def new_encoder() -> NDArray[np.int64]:
    """State of an encoder that has written nothing."""
    return np.array([0, _FULL, 0, 0, -1], dtype=np.int64)  # the first byte is always 0, and not written


def new_decoder(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """State of a decoder at the start of ``data``, uint8 (n,)."""
    start = int.from_bytes(bytes(data[:4]).ljust(4, b"\0"), "big")
    return np.array([start, _FULL, 0, 0, 4], dtype=np.int64)


def new_probabilities(ones: NDArray[np.floating]) -> NDArray[np.int64]:
    """Contexts that expect so large a share of ones.

    Parameters
    ----------
    ones : (n,) in [0, 1]

    Returns
    -------
    int64 (n, 2)
        Probability of a zero in 2^−15, and how many bits the context has seen.
    """
    zeros = np.rint((1 - np.asarray(ones, dtype=np.float64)) * (1 << PROBABILITY_BITS))
    bound = 1 << (PROBABILITY_BITS - 7)
    clipped = np.clip(zeros, bound, (1 << PROBABILITY_BITS) - bound)
    return np.stack([clipped, np.zeros_like(clipped)], axis=-1).astype(np.int64)


@kernel
def adapt(context, bit):
    """Move a context's probability towards the bit that it has seen: faster at first, then by 1/64 of the way."""
    rate = min(4 + context[1] // 16, _SLOWEST)
    if bit:
        context[0] -= context[0] >> rate
    else:
        context[0] += ((1 << PROBABILITY_BITS) - context[0]) >> rate
    context[0] = min(max(context[0], 64), (1 << PROBABILITY_BITS) - 64)
    context[1] += 1


@kernel
def encode_bit(state, out, context, bit):
    """Encode ``bit``, 0 or 1, into ``out``, which must have room: two bytes for each bit, and five for the end."""
    bound = (state[_RANGE] >> PROBABILITY_BITS) * context[0]
    if bit:
        state[_LOW] += bound
        state[_RANGE] -= bound
    else:
        state[_RANGE] = bound
    while state[_RANGE] < _SMALLEST:
        state[_RANGE] <<= 8
        _shift_low(state, out)
    adapt(context, bit)


@kernel
def decode_bit(state, data, context):
    """The next bit of ``data``."""
    bound = (state[_RANGE] >> PROBABILITY_BITS) * context[0]
    bit = 0
    if state[_LOW] < bound:
        state[_RANGE] = bound
    else:
        bit = 1
        state[_LOW] -= bound
        state[_RANGE] -= bound
    while state[_RANGE] < _SMALLEST:
        byte = data[state[_POSITION]] if state[_POSITION] < len(data) else 0
        state[_LOW] = (state[_LOW] << 8) | byte
        state[_RANGE] <<= 8
        state[_POSITION] += 1
    adapt(context, bit)
    return bit


@kernel
def _shift_low(state, out):
    if state[_LOW] < 0xFF000000 or state[_LOW] > _FULL:
        carry = state[_LOW] >> 32
        if state[_POSITION] >= 0:
            out[state[_POSITION]] = (state[_CACHE] + carry) & 0xFF
        state[_POSITION] += 1
        while state[_PENDING]:
            out[state[_POSITION]] = (0xFF + carry) & 0xFF
            state[_POSITION] += 1
            state[_PENDING] -= 1
        state[_CACHE] = (state[_LOW] >> 24) & 0xFF
    else:
        state[_PENDING] += 1
    state[_LOW] = (state[_LOW] & 0x00FFFFFF) << 8


@kernel
def _finish(state, out):
    # The number of the fewest bytes that lies in the interval: the decoder takes what is missing for zeros.
    for zeros in range(32, -1, -1):
        rounded = ((state[_LOW] + (1 << zeros) - 1) >> zeros) << zeros
        if rounded < state[_LOW] + state[_RANGE]:
            state[_LOW] = rounded
            break
    for _ in range(5):
        _shift_low(state, out)
    length = max(state[_POSITION], 0)
    while length and out[length - 1] == 0:
        length -= 1
    return length


def finished(state: NDArray[np.int64], out: NDArray[np.uint8]) -> bytes:
    """What an encoder wrote into ``out``, ended: at most five bytes more than so far."""
    return out[: _finish(state, out)].tobytes()
