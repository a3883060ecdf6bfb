"""Work on all cores: order is kept, and parts are even."""

import threading

import pytest

from panolink.cpu import parallel, row_chunks, usable_cores


def test_results_come_in_the_order_of_the_items():
    assert parallel(lambda n: n * n, range(20)) == [n * n for n in range(20)]


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        parallel(lambda n: 1 // n, [1, 0])


def test_callers_of_several_threads_share_the_cores():
    results: list[list[int]] = []
    callers = [threading.Thread(target=lambda: results.append(parallel(abs, range(-50, 0)))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [list(range(50, 0, -1))] * 4


@pytest.mark.parametrize("count", [0, 1, 63, 64, 1000])
def test_chunks_cover_all_rows_once(count: int):
    chunks = row_chunks(count, 64)
    assert [row for chunk in chunks for row in range(count)[chunk]] == list(range(count))
    assert len(chunks) <= usable_cores()
    assert len(chunks) == 1 or min(chunk.stop - chunk.start for chunk in chunks) >= 64
