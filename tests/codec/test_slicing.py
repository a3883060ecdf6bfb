import pytest

from panolink.codec.slicing import (
    FEATURE_SLICE_BITS,
    INDEX_SLICE_TOKENS,
    MOST_PARTS,
    SMALLEST_SLICE_TOKENS,
    feature_parts,
    index_slices,
    slice_bytes,
    slice_rows,
)

GRIDS = [(1, 2), (1, 500), (2, 4), (8, 16), (16, 32), (32, 64), (64, 128), (256, 512)]


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_every_slice_has_a_row_and_a_lost_one_costs_at_most_a_sixth(rows: int, cols: int) -> None:
    slices = slice_rows(rows, cols)
    assert 1 <= slices <= rows
    if rows >= 6 and rows * cols >= 6 * SMALLEST_SLICE_TOKENS:
        assert slices >= 6
    assert rows * cols / slices <= 1.5 * INDEX_SLICE_TOKENS or slices == rows


def test_a_file_is_one_slice_and_over_the_air_there_are_two_at_least() -> None:
    for rows, cols in GRIDS:
        assert index_slices(rows, cols, robust=False) == 1
        assert index_slices(rows, cols, robust=True) >= min(2, rows)
    assert index_slices(32, 64, robust=True) == slice_rows(32, 64) == 6
    assert index_slices(64, 128, robust=True) == 26


def test_feature_slices_hold_about_as_many_bits_each() -> None:
    assert feature_parts(0, 6) == feature_parts(-3.0, 6) == feature_parts(0, 1) == 0
    assert feature_parts(1, 6) == 1
    assert feature_parts(1e9, 1) == 1, "with a single index slice nothing survives its loss"
    assert feature_parts(1e9, 6) == MOST_PARTS
    for parts in (1, 2, 7, 15):
        assert feature_parts(parts * 6 * FEATURE_SLICE_BITS, 6) == parts


def test_slices_end_on_whole_words() -> None:
    assert slice_bytes(0) == 0
    assert slice_bytes(1) == 4 and slice_bytes(24) == 4 and slice_bytes(25) == 8
    assert all(slice_bytes(bits) % 4 == 0 and 8 * slice_bytes(bits) >= bits for bits in range(1, 300))
