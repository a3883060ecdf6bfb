"""The soak test judges rightly, and its short form passes."""

import pytest

from benchmarks.services.soak import judge, slope
from tests.benchmarks.services.short_form import run_short


def rows(**values: list[float]) -> list[dict]:
    steady = {"rss_mib": 100.0, "threads": 10.0, "descriptors": 20.0, "tasks": 5.0}
    count = len(next(iter(values.values())))
    return [
        {
            "minutes": 0.2 * number,
            "services": {"receiver": steady | {what: value[number] for what, value in values.items()}},
        }
        for number in range(count)
    ]


def test_a_line_through_measurements() -> None:
    assert slope([0, 1, 2, 3], [5, 7, 9, 11]) == pytest.approx((2.0, 0.0))
    per_minute, error = slope([0, 1, 2, 3], [0, 3, 3, 6])
    assert per_minute == pytest.approx(1.8) and error == pytest.approx(0.42426, rel=1e-4)


def test_what_grows_is_told_from_what_goes_up_and_down() -> None:
    assert judge(rows(rss_mib=[100, 104, 99, 103, 100, 102, 101, 100]))[1] == []
    assert judge(rows(rss_mib=[100 + 0.15 * n for n in range(20)]))[1] == []
    assert "memory grows by 2.00" in judge(rows(rss_mib=[100 + 0.4 * n for n in range(20)]))[1][0]
    assert judge(rows(rss_mib=[100 + 0.4 * n for n in range(20)]), 3.0)[1] == []
    assert judge(rows(threads=[10.0 + n // 10 for n in range(20)]))[1] == []
    assert judge(rows(threads=[10.0 + n // 3 for n in range(20)]))[1] == ["receiver: threads grow from 13 to 16"]


@pytest.mark.long
def test_the_short_form_passes() -> None:
    """Half a minute: nothing but the receipts' pictures, which are bounded, grows, and all is answered."""
    run_short("soak", "0.4", "--warm-up", "0.1", "--rss-mib", "100")
