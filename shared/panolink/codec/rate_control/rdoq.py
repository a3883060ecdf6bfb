"""Rate-distortion optimised quantisation: the symbols of a token that cost least in error and bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS
from panolink.codec.entropy.scale_adaptation import (
    MAX_COUNTED_MAGNITUDE,
    adaptation_context,
    group_slices,
    shifted_class,
)
from panolink.codec.entropy.tables import MAX_MAGNITUDE, UNIT, Tables
from panolink.jit import kernel


def choose_symbols(
    value: NDArray[np.float32],
    plain: NDArray[np.int64],
    log_odds: NDArray[np.int16],
    tables: Tables,
    lengths: NDArray[np.float32],
    lmbda: float,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """The symbols that cost least in squared error + lmbda · bits, group by group.

    ``value`` (n, dim): differences in steps; ``plain`` (n, dim): classes that are expected; ``log_odds`` (n, dim): of
    their signs; ``lengths`` as in ``Tables.code_lengths``. Candidates are the nearest integer, the one below it, zero.
    Class 0 is always zero. Returns symbols (n, dim), and of each token its bits (n,) and the drop of squared error in
    squared steps (n,).
    """
    starts = np.array([part.start for part in group_slices(plain.shape[1])] + [plain.shape[1]])
    shifts, expected_magnitude = tables.shifts.astype(np.int64), tables.expected_magnitude.astype(np.int64)
    log_odds = np.ascontiguousarray(log_odds)  # one kernel, whatever part of a picture it is
    return _choose(value, plain, log_odds, starts, shifts, expected_magnitude, lengths, SIGN_BITS, np.float32(lmbda))


@kernel
def _choose(value, plain, log_odds, starts, shifts, expected_magnitude, lengths, sign_bits, lmbda):
    tokens, dims = value.shape
    symbols = np.zeros((tokens, dims), np.int32)
    bits = np.zeros(tokens, np.float32)
    gain = np.zeros(tokens, np.float32)
    for token in range(tokens):
        found, expected = 0, 0
        for group in range(len(starts) - 1):
            shift = shifts[group, adaptation_context(found, expected)]
            found_here, expected_here = 0, 0
            for dim in range(starts[group], starts[group + 1]):
                scale = shifted_class(plain[token, dim], shift)
                if scale == 0:
                    continue
                magnitude = abs(value[token, dim])
                agreement = log_odds[token, dim] if value[token, dim] > 0 else -log_odds[token, dim]
                sign = sign_bits[agreement + MAX_LOG_ODDS] - np.float32(1)
                best, best_bits = 0, lengths[scale, 0]
                best_cost = magnitude * magnitude + lmbda * best_bits
                nearest = int(min(magnitude + np.float32(0.5), np.float32((1 << 15) - 1)))
                for candidate in range(max(nearest - 1, 1), nearest + 1):
                    cost_bits = lengths[scale, min(candidate, MAX_MAGNITUDE + 1)] + sign
                    error = magnitude - candidate
                    cost = error * error + lmbda * cost_bits
                    if cost < best_cost:
                        best, best_bits, best_cost = candidate, cost_bits, cost
                symbols[token, dim] = best if value[token, dim] > 0 else -best
                bits[token] += best_bits
                gain[token] += best * (2 * magnitude - best)
                found_here += min(best, MAX_COUNTED_MAGNITUDE)
                expected_here += expected_magnitude[plain[token, dim]]
            found = (5 * found >> 3) + UNIT * found_here
            expected = (5 * expected >> 3) + expected_here
    return symbols, bits, gain
