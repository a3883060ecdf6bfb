"""The viewer's load test judges rightly, and its short form passes."""

from typing import Any

import pytest

from benchmarks.services.viewer_load import judge
from tests.benchmarks.services.short_form import run_short


def phase(deliveries: float = 2.0, growth: float = 0.0, error: float = 0.1, pictures: float = 1.9) -> dict[str, Any]:
    return {
        "deliveries_per_second": deliveries,
        "viewer_mib_per_minute": [growth, error],
        "pictures_per_browser_per_second": pictures,
    }


def test_what_is_noticed_of_many_browsers() -> None:
    assert judge(phase(), phase(1.85), phase(), 1.0) == []
    assert judge(phase(2.0), phase(1.5), phase(1.6), 1.0) == []  # as with one, a little later
    assert "1.7 deliveries a second" in judge(phase(), phase(1.7), phase(), 1.0)[0]
    assert judge(phase(), phase(growth=1.1), phase(), 1.0) == []
    assert "grows by 5.00" in judge(phase(), phase(growth=5.0), phase(), 1.0)[0]
    assert judge(phase(), phase(pictures=0), phase(), 1.0) == ["a browser got no picture"]


@pytest.mark.long
def test_the_short_form_passes() -> None:
    """Eight seconds each: twenty browsers are not noticed. So short a time says little of memory."""
    run_short("viewer_load", "8", "--fps", "1", "--mib-per-minute", "500")
