"""The map of kinds: which tokens of a stream's packet are unchanged, refined or new.

Two or three decisions a token, each with a context: what its neighbours to the left and above in the slice are, what
became of it in the reference's packet, and how much finer it would be than it is. Probabilities start from two shares
in the packet's header and follow the map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.binary_coder import (
    decode_bit,
    encode_bit,
    finished,
    new_decoder,
    new_encoder,
    new_probabilities,
)
from panolink.codec.streaming.state import NO_FEATURE, Kind, TokenState
from panolink.jit import kernel

SHARES = 32
"""shares of changed tokens, and of new ones among them, are counted in the header in 1/32 of the square root"""

_GAPS = 4
_CHANGED = 3 * 4 * _GAPS
_NEW = _CHANGED + 2 * 2 * _GAPS
_CONTEXTS = _NEW + 3
"""changed or not: neighbours (3) × kind before (4) × gap (4); new or refined: left (2) × new before (2) × gap; feature
or not: left (3)"""

_UNCHANGED, _REFINED, _NEW_CODE, _NEW_FEATURE = (int(kind) for kind in Kind)


def share_to_byte(share: float) -> int:
    """A share in [0, 1] as a number that fits a header byte."""
    return min(SHARES, round(SHARES * share**0.5))


def kinds_to_shares(kinds: NDArray[np.uint8]) -> tuple[int, int]:
    """Shares of changed tokens, and of new ones among the changed, for the header."""
    changed = int((kinds != Kind.UNCHANGED).sum())
    new = int((kinds >= Kind.NEW).sum())
    return share_to_byte(changed / max(kinds.size, 1)), share_to_byte(new / max(changed, 1))


def encode_kinds(
    kinds: NDArray[np.uint8],
    reference: TokenState,
    token_steps: NDArray[np.int64],
    rows: slice,
    shares: tuple[int, int],
) -> bytes:
    """Encode the kinds of one slice.

    Parameters
    ----------
    kinds : uint8 (rows, cols)
        Of the whole grid.
    reference : TokenState
    token_steps : (rows, cols)
        Steps of the packet, quarter octaves.
    rows : slice
        Those of the slice.
    shares : (int, int)
        See `kinds_to_shares`.
    """
    before, gaps, unknown = _inputs(reference, token_steps, rows)
    state, out = new_encoder(), np.zeros(3 * before.size + 16, dtype=np.uint8)
    _walk(np.ascontiguousarray(kinds[rows]), before, gaps, unknown, _probabilities(shares), state, out, True)
    return finished(state, out)


def decode_kinds(
    payload: bytes, reference: TokenState, token_steps: NDArray[np.int64], rows: slice, shares: tuple[int, int]
) -> NDArray[np.uint8]:
    """Inverse of `encode_kinds`: uint8 (rows of the slice, cols). Whatever bytes decode to some map."""
    before, gaps, unknown = _inputs(reference, token_steps, rows)
    data = np.frombuffer(payload, dtype=np.uint8)
    kinds = np.zeros(before.shape, dtype=np.uint8)
    _walk(kinds, before, gaps, unknown, _probabilities(shares), new_decoder(data), data.copy(), False)
    return kinds


def gaps_of(reference: TokenState, token_steps: NDArray[np.int64], rows: slice = slice(None)) -> NDArray[np.uint8]:
    """How much finer tokens would be than they are: 0 not at all, 1 by up to 3 quarter octaves, 2 by more, 3 nothing
    but their code is known; of some ``rows``, (rows, cols)."""
    steps = reference.steps[rows]
    finer = steps - token_steps[rows]
    gaps = np.where(finer <= 0, 0, np.where(finer < 4, 1, 2))
    return np.where(steps == NO_FEATURE, 3, gaps).astype(np.uint8)


def _inputs(reference: TokenState, token_steps: NDArray[np.int64], rows: slice):
    arrays = (reference.kinds[rows], gaps_of(reference, token_steps, rows), reference.unknown[rows])
    return tuple(np.ascontiguousarray(array) for array in arrays)


_MORE_LIKELY = (0.3535533905932738, 1.4142135623730951, 5.656854249492381)
"""2^(2n − 1.5), how much likelier a change is where n of two neighbours changed; as numbers: hosts agree to the bit"""


def _probabilities(shares: tuple[int, int]) -> NDArray[np.int64]:
    changed, new = ((share / SHARES) ** 2 for share in shares)
    ones = np.empty(_CONTEXTS)
    ratio = changed / max(1 - changed, 1e-3)
    for context in range(_CHANGED):
        neighbours = context // (4 * _GAPS)
        some = ratio * _MORE_LIKELY[neighbours]
        ones[context] = some / (1 + some)
    ones[_CHANGED:_NEW] = new
    ones[_NEW:] = 0.5
    return new_probabilities(np.clip(ones, 0.002, 0.998))


@kernel
def _walk(kinds, before, gaps, unknown, probabilities, state, data, encode):
    rows, cols = kinds.shape
    for row in range(rows):
        for col in range(cols):
            left = kinds[row, col - 1] if col else 0
            above = kinds[row - 1, col] if row else 0
            gap = gaps[row, col]
            neighbours = (left != _UNCHANGED) + (above != _UNCHANGED if row else left != _UNCHANGED)
            context = (neighbours * 4 + before[row, col]) * _GAPS + gap
            kind = kinds[row, col]
            if encode:
                encode_bit(state, data, probabilities[context], int(kind != _UNCHANGED))
                changed = int(kind != _UNCHANGED)
            else:
                changed = decode_bit(state, data, probabilities[context])
            if not changed:
                kinds[row, col] = _UNCHANGED
                continue
            new = 1
            if not unknown[row, col]:
                context = _CHANGED + (int(left >= _NEW_CODE) * 2 + int(before[row, col] >= _NEW_CODE)) * _GAPS + gap
                if encode:
                    new = int(kind >= _NEW_CODE)
                    encode_bit(state, data, probabilities[context], new)
                else:
                    new = decode_bit(state, data, probabilities[context])
            if not new:
                kinds[row, col] = _REFINED
                continue
            context = _NEW + (int(left == _NEW_FEATURE) if left >= _NEW_CODE else 2)
            if encode:
                feature = int(kind == _NEW_FEATURE)
                encode_bit(state, data, probabilities[context], feature)
            else:
                feature = decode_bit(state, data, probabilities[context])
            kinds[row, col] = _NEW_FEATURE if feature else _NEW_CODE
