"""Rate-distortion optimised quantisation: the symbols of a token that cost least in error and bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS, EntropyParameters
from panolink.codec.entropy.scale_adaptation import (
    MAX_COUNTED_MAGNITUDE,
    adaptation_context,
    next_sum,
    shifted_class,
)
from panolink.codec.entropy.tables import CLASSES, MAX_MAGNITUDE, UNIT, Tables, expected_class
from panolink.cpu import parallel, row_chunks
from panolink.jit import exact_kernel

LARGEST_SYMBOL = (1 << 15) - 1

COARSEST = 128
"""quarter octaves: the table of scale factors goes so far either way"""

FACTORS = np.exp2(np.arange(-COARSEST, COARSEST + 1) / -4).astype(np.float32)
"""from feature units to steps, by the step in quarter octaves from −COARSEST up"""

LEAST_ROWS = 128
"""tokens of which a thread is worth its start"""


def choose_symbols(
    difference: NDArray[np.float32],
    codes: NDArray[np.int64],
    steps: NDArray[np.int64],
    context: EntropyParameters,
    tables: Tables,
    lengths: NDArray[np.float32],
    lmbda: float,
    *,
    codebook: NDArray[np.float32] | None = None,
    cells: NDArray[np.int64],
    places: NDArray[np.int64],
    limits: NDArray[np.int64] | None = None,
    out: tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Choose the symbols that cost least in squared error + λ · bits, group by group of a token's dimensions: in one
    pass from features to symbols, bits and gain, on all cores.

    Candidates are the nearest integer, the one below it, and zero. A symbol of class 0 is always zero.

    Parameters
    ----------
    difference : float32 (all, dim)
        Feature − codebook vector of all tokens of a panorama; with a ``codebook`` features themselves.
    codes, steps : int64 (all,)
        Index of each, and its quantisation step in quarter octaves.
    context : EntropyParameters
        Of the n tokens that are asked for.
    tables : Tables
    lengths : float32 (CLASSES, MAX_MAGNITUDE + 2)
        See `Tables.code_lengths`.
    lmbda : float
        λ in squared steps per bit.
    codebook : float32 (K, dim), optional
        Subtracted from each token as it is quantised.
    cells : (n,)
        Which of all tokens.
    limits : int64 (n,), optional
        Largest scale class of each token, before adaptation.
    places : (n,)
        Where in ``out`` they are put.
    out : int16 (N, dim), float32 (N,), float32 (N,)
        Symbols, bits, and drop of squared error in squared steps. Symbols are left alone where they are to be 0; of
        none (0, dim) where only costs are asked for.

    Notes
    -----
    Sums are of float32, in the order of dimensions, and nothing is contracted: other implementations find the same to
    the bit.
    """
    dim = difference.shape[1]
    limits = np.full(len(cells), CLASSES - 1, dtype=np.int64) if limits is None else limits
    codebook = np.empty((0, dim), np.float32) if codebook is None else codebook
    starts = tables.group_bounds  # once, not for each thread's rows

    def some(rows: slice) -> None:
        _choose(
            difference,
            codebook,
            cells[rows],
            codes,
            steps,
            tables.levels,
            context.shifts[rows],
            context.log_odds[rows],
            starts,
            tables.shifts,
            tables.expected_magnitude,
            lengths,
            SIGN_BITS,
            np.float32(lmbda),
            *out,
            places[rows],
            limits[rows],
        )

    parallel(some, row_chunks(len(cells), LEAST_ROWS))


@exact_kernel
def _choose(
    difference,
    codebook,
    cells,
    codes,
    steps,
    levels,
    shifts,
    log_odds,
    starts,
    adaptation,
    expected_magnitude,
    lengths,
    sign_bits,
    lmbda,
    symbols,
    bits,
    gain,
    places,
    limits,
):
    half, one, two, largest = np.float32(0.5), np.float32(1), np.float32(2), np.float32(LARGEST_SYMBOL)
    dims = difference.shape[1]
    classes, values = np.empty(dims, np.int32), np.empty(dims, np.float32)
    for token in range(len(cells)):
        cell = cells[token]
        code, step = codes[cell], steps[cell]
        factor = FACTORS[step + COARSEST]
        token_bits, token_gain = np.float32(0), np.float32(0)
        found, expected = 0, 0
        level, toward, limit = levels[code], shifts[token], limits[token]
        for dim in range(dims):  # without branches: vectors
            classes[dim] = min(expected_class(np.int64(level[dim]), step, np.int64(toward[dim])), limit)
        if len(codebook):
            for dim in range(dims):
                values[dim] = (difference[cell, dim] - codebook[code, dim]) * factor
        else:
            for dim in range(dims):
                values[dim] = difference[cell, dim] * factor
        for group in range(len(starts) - 1):
            shift = np.int64(adaptation[group, adaptation_context(found, expected)])
            found_here, expected_here = 0, 0
            for dim in range(starts[group], starts[group + 1]):
                plain = np.int64(classes[dim])
                if plain == 0:
                    continue
                expected_here += expected_magnitude[plain]
                scale = shifted_class(plain, shift)
                value = values[dim]
                magnitude = abs(value)
                rounded = magnitude + half
                if rounded < one:
                    token_bits += lengths[scale, 0]
                    continue
                odds = np.int64(log_odds[token, dim])
                sign = sign_bits[(odds if value > 0 else -odds) + MAX_LOG_ODDS] - one
                best, best_bits = 0, lengths[scale, 0]
                best_cost = magnitude * magnitude + lmbda * best_bits
                nearest = np.int64(min(rounded, largest))
                for candidate in range(max(nearest - 1, 1), nearest + 1):
                    cost_bits = lengths[scale, min(candidate, MAX_MAGNITUDE + 1)] + sign
                    error = magnitude - np.float32(candidate)
                    cost = error * error + lmbda * cost_bits
                    if cost < best_cost:
                        best, best_bits, best_cost = candidate, cost_bits, cost
                token_bits += best_bits
                if best:
                    chosen = np.float32(best)
                    token_gain += chosen * (two * magnitude - chosen)
                    found_here += min(best, MAX_COUNTED_MAGNITUDE)
                    if len(symbols):
                        symbols[places[token], dim] = best if value > 0 else -best
            found, expected = next_sum(found, UNIT * found_here), next_sum(expected, expected_here)
        bits[places[token]], gain[places[token]] = token_bits, token_gain
