"""How a packet is cut into slices that decode alone."""

from __future__ import annotations

import math

INDEX_SLICE_TOKENS, SMALLEST_SLICE_TOKENS = 320, 120


FEATURE_SLICE_BITS, MOST_PARTS = 2600, 16


def slice_rows(rows: int, cols: int) -> int:
    """Number of index slices of a grid that goes over the air, at most one per row.

    They hold about INDEX_SLICE_TOKENS tokens each; small grids have smaller ones, so that one that is lost is no more
    than a sixth of the picture, as far as SMALLEST_SLICE_TOKENS allows.
    """
    tokens = rows * cols
    return max(1, min(rows, max(round(tokens / INDEX_SLICE_TOKENS), min(6, tokens // SMALLEST_SLICE_TOKENS))))


def feature_parts(bits: float, index_slices: int) -> int:
    """Feature slices per index slice; none where nothing is kept.

    One where there is a single index slice: nothing survives its loss. Else so many that each holds about
    FEATURE_SLICE_BITS bits.
    """
    if bits <= 0 or index_slices == 1:
        return int(bits > 0)
    return max(1, min(MOST_PARTS, round(bits / (index_slices * FEATURE_SLICE_BITS))))


def index_slices(rows: int, cols: int, *, robust: bool) -> int:
    """Index slices of a grid: one in a file, `slice_rows` where any of them may be lost, two at least."""
    return max(slice_rows(rows, cols), min(2, rows)) if robust else 1


def slice_bytes(bits: float) -> int:
    """Length of a slice whose symbols take so many bits by the tables: the range coder ends it on a whole word."""
    return 4 * math.ceil((bits + 8) / 32) if bits else 0
