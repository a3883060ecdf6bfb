"""The symbols of a feature slice in coding order, batch by batch: kernels that the coder runs once a batch.

Group by group of a token's dimensions, magnitudes are coded in ascending order of their adapted scale class, those of
one class as they stand; then what escaped the tables, in raw bits; then signs, in ascending order of how sure they are.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, sign_frequencies
from panolink.codec.entropy.range_coder import WHOLE, advance, cumulative, decode_run, quantile
from panolink.codec.entropy.scale_adaptation import (
    MAX_COUNTED_MAGNITUDE,
    adaptation_context,
    group_slices,
    shifted_class,
)
from panolink.codec.entropy.tables import CLASSES, MAX_MAGNITUDE, TOTAL, UNIT, Tables
from panolink.codec.shapes import LogOdds, ScaleClasses, Symbols
from panolink.jit import kernel

ESCAPE = MAX_MAGNITUDE + 1
"""codes a magnitude beyond the tables, whose raw bits follow"""

RAW_WIDTH = WHOLE >> 16
"""of the interval of sixteen raw bits"""

_SIGNS = cumulative(sign_frequencies(), 256)
"""by |log odds|: 0 for the less likely sign, 1 for the more likely one"""


class SymbolOrder:
    """Intervals of a batch's symbols, and symbols of a batch, with one model's tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @functools.cached_property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        tables = self._tables
        dim = tables.levels.shape[1]
        starts = np.array([part.start for part in group_slices(dim)] + [dim])
        return (
            starts,
            np.ascontiguousarray(tables.shifts, dtype=np.int8),
            np.ascontiguousarray(tables.expected_magnitude, dtype=np.int32),
            cumulative(tables.symbol_frequencies, TOTAL),
            _SIGNS,
        )

    def intervals(
        self, symbols: Symbols, classes: ScaleClasses, log_odds: LogOdds
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Starts and widths of the intervals of a batch, in coding order.

        Parameters
        ----------
        symbols, classes, log_odds : (n, dim) each
            Classes before adaptation; symbols of class 0 are not coded.
        """
        symbols, classes, log_odds = _typed(symbols, np.int32), _typed(classes, np.uint8), _typed(log_odds, np.int8)
        magnitudes = np.abs(symbols)
        count = int((classes > 0).sum() + (magnitudes > MAX_MAGNITUDE).sum() + (magnitudes > 0).sum())
        start, width = np.empty(count, dtype=np.uint32), np.empty(count, dtype=np.uint32)
        _intervals(symbols, classes, log_odds, *self._arrays, start, width)
        return start, width

    def decode(
        self, state: NDArray[np.uint64], words: NDArray[np.uint32], classes: ScaleClasses, log_odds: LogOdds
    ) -> Symbols | None:
        """Symbols of the next batch (n, dim); None where the payload is corrupt."""
        classes, log_odds = _typed(classes, np.uint8), _typed(log_odds, np.int8)
        symbols = np.zeros(classes.shape, dtype=np.int32)
        return symbols if _decode(state, words, classes, log_odds, *self._arrays, symbols) else None


def _typed(values: np.ndarray, dtype: type) -> np.ndarray:
    """One type and layout, for one compiled kernel."""
    return np.ascontiguousarray(values, dtype=dtype)


@kernel
def _adapt(classes, first, last, shifts, sums, scale, counts):
    """Adapted classes of a group of dimensions, token by token, and how many there are of each."""
    place = 0
    counts[:] = 0
    for token in range(len(classes)):
        shift = shifts[adaptation_context(sums[token, 0], sums[token, 1])]
        for dim in range(first, last):
            one = shifted_class(np.int64(classes[token, dim]), np.int64(shift))
            scale[place] = one
            counts[one] += 1
            place += 1


@kernel
def _update(symbols, classes, first, last, expected_magnitude, sums):
    """Add a group's magnitudes, and those that its classes let expect, to the sums of its tokens."""
    for token in range(len(classes)):
        observed, expected = 0, 0
        for dim in range(first, last):
            observed += min(abs(symbols[token, dim]), MAX_COUNTED_MAGNITUDE)
            expected += expected_magnitude[classes[token, dim]]
        sums[token, 0] = (5 * sums[token, 0] >> 3) + UNIT * observed
        sums[token, 1] = (5 * sums[token, 1] >> 3) + expected


@kernel
def _intervals(symbols, classes, log_odds, starts, shifts, expected_magnitude, tables, signs, start, width):
    tokens = len(symbols)
    sums = np.zeros((tokens, 2), np.int64)
    scale = np.empty(tokens * (starts[1:] - starts[:-1]).max(), np.uint8)
    counts, place_of = np.empty(CLASSES, np.int64), np.empty(CLASSES, np.int64)
    done = 0
    for group in range(len(starts) - 1):
        first, last = starts[group], starts[group + 1]
        _adapt(classes, first, last, shifts[group], sums, scale, counts)
        for one in range(1, CLASSES):
            place_of[one] = done
            done += counts[one]
        place = 0
        for token in range(tokens):
            for dim in range(first, last):
                one = scale[place]
                place += 1
                if one:
                    magnitude = min(abs(symbols[token, dim]), ESCAPE)
                    at = place_of[one]
                    place_of[one] += 1
                    start[at] = tables[one, magnitude]
                    width[at] = tables[one, magnitude + 1] - tables[one, magnitude]
        _update(symbols, classes, first, last, expected_magnitude, sums)
    by_odds = np.zeros(MAX_LOG_ODDS + 1, np.int64)
    for token in range(tokens):
        for dim in range(symbols.shape[1]):
            if symbols[token, dim]:
                by_odds[abs(log_odds[token, dim])] += 1
                magnitude = abs(symbols[token, dim])
                if magnitude > MAX_MAGNITUDE:
                    start[done] = np.uint32(RAW_WIDTH * min(magnitude, (1 << 16) - 1))
                    width[done] = RAW_WIDTH
                    done += 1
    for size in range(MAX_LOG_ODDS + 1):
        members = by_odds[size]
        by_odds[size] = done
        done += members
    for token in range(tokens):
        for dim in range(symbols.shape[1]):
            if symbols[token, dim]:
                size = abs(log_odds[token, dim])
                agrees = 1 if (symbols[token, dim] > 0) == (log_odds[token, dim] >= 0) else 0
                at = by_odds[size]
                by_odds[size] += 1
                start[at] = signs[size, agrees]
                width[at] = signs[size, agrees + 1] - signs[size, agrees]


@kernel
def _decode(state, words, classes, log_odds, starts, shifts, expected_magnitude, tables, signs, symbols):
    tokens, dims = classes.shape
    flat = symbols.reshape(-1)  # no division for each symbol
    sums = np.zeros((tokens, 2), np.int64)
    widest = tokens * (starts[1:] - starts[:-1]).max()
    scale, order = np.empty(widest, np.uint8), np.empty(widest, np.int32)
    rows, found = np.empty(widest, np.uint8), np.empty(widest, np.uint8)
    counts, place_of = np.empty(CLASSES, np.int64), np.empty(CLASSES, np.int64)
    for group in range(len(starts) - 1):
        first, last = starts[group], starts[group + 1]
        _adapt(classes, first, last, shifts[group], sums, scale, counts)
        total = 0
        for one in range(1, CLASSES):
            place_of[one] = total
            total += counts[one]
        place = 0
        for token in range(tokens):
            for dim in range(first, last):
                one = scale[place]
                place += 1
                if one:
                    order[place_of[one]] = token * dims + dim
                    rows[place_of[one]] = one
                    place_of[one] += 1
        if not decode_run(state, words, tables, rows[:total], found[:total]):
            return False
        for number in range(total):
            if found[number]:
                flat[order[number]] = found[number]
        _update(symbols, classes, first, last, expected_magnitude, sums)
    by_odds = np.zeros(MAX_LOG_ODDS + 1, np.int64)
    for token in range(tokens):
        for dim in range(dims):
            if symbols[token, dim] == ESCAPE:
                raw = quantile(state) // RAW_WIDTH
                if raw > 0xFFFF:
                    return False
                advance(state, words, np.uint32(raw * RAW_WIDTH), np.uint32(RAW_WIDTH))
                symbols[token, dim] = raw
            if symbols[token, dim]:
                by_odds[abs(log_odds[token, dim])] += 1
    done = 0
    for size in range(MAX_LOG_ODDS + 1):
        members = by_odds[size]
        by_odds[size] = done
        done += members
    signed, rows, found = np.empty(done, np.int32), np.empty(done, np.uint8), np.empty(done, np.uint8)
    for token in range(tokens):
        for dim in range(dims):
            if symbols[token, dim]:
                size = abs(log_odds[token, dim])
                signed[by_odds[size]] = token * dims + dim
                rows[by_odds[size]] = size
                by_odds[size] += 1
    if not decode_run(state, words, signs, rows, found):
        return False
    for number in range(done):
        token, dim = signed[number] // dims, signed[number] % dims
        if (found[number] == 1) != (log_odds[token, dim] >= 0):
            symbols[token, dim] = -symbols[token, dim]
    return True
