"""Pictures have their peak memory reserved, or are refused, before any of it is taken."""

from pathlib import Path

import pytest

from panolink.errors import LimitError
from panolink.rpc.flow_control import picture_budget
from panolink.rpc.flow_control.picture_budget import AT_REST_BYTES, PictureBudget, memory_limit, picture_bytes


async def test_what_cannot_fit_is_refused_and_all_else_waits_its_turn() -> None:
    budget = PictureBudget(100 << 20, bytes_per_pixel=100, pixels=1 << 28)
    whole = (100 << 20) // 100
    (await budget.reserve(whole)).release()
    with pytest.raises(LimitError, match=r"takes 200 MiB of memory here, and 100 MiB are there for pictures"):
        await budget.reserve(2 * whole + 3)
    assert budget.used == 0


async def test_a_budget_of_pixels_is_shared_and_refuses_nothing() -> None:
    budget = PictureBudget(100 << 20, bytes_per_pixel=1, pixels=10)
    reservation = await budget.reserve(1000)
    assert budget.used == 10
    reservation.release()


@pytest.mark.parametrize(("text", "limit"), [("max\n", None), ("1073741824\n", 1 << 30)])
def test_the_containers_memory_is_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, limit: int | None
) -> None:
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(picture_budget, "_CGROUP", tmp_path / "none")
    machine = memory_limit()
    monkeypatch.setattr(picture_budget, "_CGROUP", tmp_path / "memory.max")
    assert memory_limit() == min(limit or machine, machine)


def test_what_is_left_is_for_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_budget, "memory_limit", lambda: 4 << 30)
    assert picture_bytes(None, other_bytes=1 << 30) == (3 << 30) - AT_REST_BYTES
    assert picture_bytes(None, other_bytes=4 << 30) == 1 << 30
    assert picture_bytes(5, other_bytes=1 << 30) == 5
