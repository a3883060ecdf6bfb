"""The cost of the viewer's page is counted rightly, and its short form passes in a browser."""

import shutil

import pytest

from benchmarks.services.viewer_page import cost
from tests.benchmarks.services.short_form import run_short


def counted(frames: int, pictures: int, task_ms: float) -> dict[str, float]:
    return {
        "frames": frames,
        "pictures": pictures,
        "task_ms": task_ms,
        "script_ms": task_ms / 2,
        "layout_ms": task_ms / 4,
    }


def test_what_a_picture_costs_is_what_is_beyond_its_frames() -> None:
    found = cost(counted(600, 0, 1200), counted(600, 100, 1700))
    assert found["frame"] == {"script_ms": 1, "layout_ms": 0.5, "task_ms": 2}
    assert found["picture"] == {"script_ms": 2.5, "layout_ms": 1.25, "task_ms": 5}
    assert found["busy_share"] == 0.17  # 60 frames of 2 ms, 10 pictures of 5 ms


@pytest.mark.long
def test_the_short_form_passes() -> None:
    pytest.importorskip("playwright", reason="no playwright: nothing is measured in a browser")
    if shutil.which("chromium") is None:
        pytest.skip("no chromium (Debian's package chromium): nothing is measured in a browser")
    # how long it takes says nothing here, where other tests run beside it
    run_short("viewer_page", "2", "--width", "256", "--overlay", "tokens", "--busy-share", "100")
