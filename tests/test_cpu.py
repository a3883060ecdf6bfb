"""Work on all cores: order is kept, and parts are even."""

import os
import threading

import pytest

from panolink.cpu import parallel, row_chunks, share_cores, threads, usable_cores


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


@pytest.mark.parametrize(("said", "count"), [("3", 3), ("2,4", 2), ("", None), ("0", None), ("many", None)])
def test_threads_are_as_many_as_openmp_is_told(monkeypatch: pytest.MonkeyPatch, said: str, count: int | None):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads() == (count or usable_cores())


def test_a_share_of_the_cores_is_given_unless_a_number_is_set(monkeypatch: pytest.MonkeyPatch):
    for share, cpus, count in ((0.5, 8, "4"), (0.25, 2, "1"), (1.0, 2.5, "2")):
        monkeypatch.setenv("OMP_NUM_THREADS", "")
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        share_cores(share, cpus)
        assert os.environ["OMP_NUM_THREADS"] == count and os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    share_cores(0.5, 8)
    assert os.environ["OMP_NUM_THREADS"] == "7"
