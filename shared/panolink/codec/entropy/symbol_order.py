"""The symbols of a feature slice in coding order, batch by batch: kernels that the coder runs once a batch.

Group by group of a token's dimensions, magnitudes are coded in ascending order of their adapted scale class, those of
one class as they stand; then what escaped the tables, in raw bits; then signs, in ascending order of how sure they are.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, sign_frequencies
from panolink.codec.entropy.range_coder import WHOLE, advance, cumulative, decode_places, decode_run, quantile
from panolink.codec.entropy.scale_adaptation import (
    MAX_COUNTED_MAGNITUDE,
    adaptation_context,
    adapted_class_table,
    next_sum,
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
        return (
            tables.group_bounds,
            adapted_class_table(tables),
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
        nonzero = np.flatnonzero(symbols != 0)
        escaped = np.count_nonzero(np.abs(symbols.reshape(-1)[nonzero]) > MAX_MAGNITUDE)
        count = np.count_nonzero(classes) + escaped + len(nonzero)
        start, width = np.empty(count, dtype=np.uint32), np.empty(count, dtype=np.uint32)
        _intervals(symbols, nonzero, classes, log_odds, *self._arrays, start, width)
        return start, width

    def decode(
        self, state: NDArray[np.uint64], words: NDArray[np.uint32], classes: ScaleClasses, log_odds: LogOdds
    ) -> Symbols | None:
        """Symbols of the next batch (n, dim); None where the payload is corrupt."""
        classes, log_odds = _typed(classes, np.uint8), _typed(log_odds, np.int8)
        symbols = np.zeros(classes.shape, dtype=np.int32)
        *arrays, signs = self._arrays
        if not _decode_magnitudes(state, words, classes, *arrays, symbols):
            return None
        nonzero = np.flatnonzero(symbols != 0)
        return symbols if _decode_signs(state, words, nonzero, log_odds, signs, symbols) else None


def _typed(values: np.ndarray, dtype: type) -> np.ndarray:
    """One type and layout, for one compiled kernel."""
    return np.ascontiguousarray(values, dtype=dtype)


@kernel
def _expected(classes, first, last, expected_magnitude):
    """Magnitudes that the classes of a token's group let expect."""
    total = 0
    for dim in range(first, last):
        total += expected_magnitude[classes[dim]]
    return total


@kernel
def _intervals(symbols, nonzero, classes, log_odds, starts, adapted, expected_magnitude, tables, signs, start, width):
    # Most symbols are 0, and of one class these have one interval: it is filled in, and the others put in their places.
    tokens, groups = len(symbols), len(starts) - 1
    sums = np.zeros((tokens, 2), np.int64)
    counts = np.empty((2, CLASSES), np.int64)  # of even and odd dimensions: two counters do not wait for one another
    scale, rank = np.empty(len(nonzero), np.uint8), np.empty(len(nonzero), np.int32)
    magnitudes = np.empty(len(nonzero), np.int32)
    place_of, done = np.empty(CLASSES, np.int64), 0
    for group in range(groups):
        first, last = starts[group], starts[group + 1]
        counts[:], found = 0, 0
        for token in range(tokens):
            of_class = adapted[group, adaptation_context(sums[token, 0], sums[token, 1])]
            observed = 0
            for dim in range(first, last):
                one = of_class[classes[token, dim]]
                if symbols[token, dim] and one:
                    magnitude = abs(symbols[token, dim])
                    scale[found], rank[found], magnitudes[found] = one, counts[0, one] + counts[1, one], magnitude
                    observed += min(magnitude, MAX_COUNTED_MAGNITUDE)
                    found += 1
                counts[dim & 1, one] += 1
            if group < groups - 1:
                expected = _expected(classes[token], first, last, expected_magnitude)
                sums[token, 0] = next_sum(sums[token, 0], UNIT * observed)
                sums[token, 1] = next_sum(sums[token, 1], expected)
        for one in range(1, CLASSES):
            end = done + counts[0, one] + counts[1, one]
            start[done:end], width[done:end] = tables[one, 0], tables[one, 1] - tables[one, 0]
            place_of[one], done = done, end
        for number in range(found):
            one, magnitude = scale[number], min(magnitudes[number], ESCAPE)
            at = place_of[one] + rank[number]
            start[at], width[at] = tables[one, magnitude], tables[one, magnitude + 1] - tables[one, magnitude]
    flat, flat_log_odds, by_size = symbols.reshape(-1), log_odds.reshape(-1), np.zeros(MAX_LOG_ODDS + 1, np.int64)
    for place in nonzero:
        by_size[abs(flat_log_odds[place])] += 1
        magnitude = abs(flat[place])
        if magnitude > MAX_MAGNITUDE:
            start[done], width[done] = np.uint32(RAW_WIDTH * min(magnitude, (1 << 16) - 1)), RAW_WIDTH
            done += 1
    _counts_to_places(by_size, done)
    for place in nonzero:
        size = abs(flat_log_odds[place])
        agrees = 1 if (flat[place] > 0) == (flat_log_odds[place] >= 0) else 0
        at = by_size[size]
        by_size[size] += 1
        start[at], width[at] = signs[size, agrees], signs[size, agrees + 1] - signs[size, agrees]


@kernel
def _counts_to_places(counts, done):
    """Turn how many there are of each kind into where the first of it is put, from ``done`` on, in place."""
    for kind in range(len(counts)):
        members = counts[kind]
        counts[kind] = done
        done += members


@kernel
def _decode_magnitudes(state, words, classes, starts, adapted, expected_magnitude, tables, symbols):
    tokens, dims = classes.shape
    groups, flat = len(starts) - 1, symbols.reshape(-1)
    sums, contexts = np.zeros((tokens, 2), np.int64), np.empty(tokens, np.int64)
    order = np.empty(tokens * (starts[1:] - starts[:-1]).max(), np.int32)
    place_of = np.empty(CLASSES, np.int64)
    for group in range(groups):
        first, last = starts[group], starts[group + 1]
        place_of[:] = 0
        for token in range(tokens):
            contexts[token] = adaptation_context(sums[token, 0], sums[token, 1])
            of_class = adapted[group, contexts[token]]
            for dim in range(first, last):
                place_of[of_class[classes[token, dim]]] += 1
        place_of[0] = 0
        _counts_to_places(place_of, 0)
        for token in range(tokens):
            of_class = adapted[group, contexts[token]]
            for dim in range(first, last):
                one = of_class[classes[token, dim]]
                if one:
                    order[place_of[one]] = token * dims + dim
                    place_of[one] += 1
        for one in range(1, CLASSES):
            if not decode_places(state, words, tables[one], order[place_of[one - 1] : place_of[one]], flat):
                return False
        if group < groups - 1:
            for token in range(tokens):
                observed = 0
                for dim in range(first, last):
                    observed += min(symbols[token, dim], MAX_COUNTED_MAGNITUDE)
                expected = _expected(classes[token], first, last, expected_magnitude)
                sums[token, 0] = next_sum(sums[token, 0], UNIT * observed)
                sums[token, 1] = next_sum(sums[token, 1], expected)
    return True


@kernel
def _decode_signs(state, words, nonzero, log_odds, signs, symbols):
    """What escaped the tables, and signs, of the symbols at ``nonzero`` (n,) places."""
    flat, flat_log_odds = symbols.reshape(-1), log_odds.reshape(-1)
    by_size = np.zeros(MAX_LOG_ODDS + 1, np.int64)
    for place in nonzero:
        if flat[place] == ESCAPE:
            raw = quantile(state) // RAW_WIDTH
            if raw > 0xFFFF:
                return False
            advance(state, words, np.uint32(raw * RAW_WIDTH), np.uint32(RAW_WIDTH))
            flat[place] = raw
        if flat[place]:
            by_size[abs(flat_log_odds[place])] += 1
    _counts_to_places(by_size, 0)
    signed, rows = np.empty(len(nonzero), np.int32), np.empty(len(nonzero), np.uint8)
    for place in nonzero:
        if flat[place]:
            size = abs(flat_log_odds[place])
            signed[by_size[size]], rows[by_size[size]] = place, size
            by_size[size] += 1
    agrees = np.empty(by_size[MAX_LOG_ODDS], np.uint8)
    if not decode_run(state, words, signs, rows[: len(agrees)], agrees):
        return False
    for number in range(len(agrees)):
        place = signed[number]
        if (agrees[number] == 1) != (flat_log_odds[place] >= 0):
            flat[place] = -flat[place]
    return True
