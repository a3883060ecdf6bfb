"""Pictures have their peak memory reserved, or are refused, before any of it is taken."""

import asyncio
import threading

import pytest

from panolink.errors import LimitError
from panolink.rpc.flow_control import picture_budget
from panolink.rpc.flow_control.picture_budget import (
    AT_REST_BYTES,
    RECEIVER_COSTS,
    SMALL_PIXELS,
    TRIM_PIXELS,
    PictureBudget,
    PictureCosts,
    picture_bytes,
)


async def test_what_cannot_fit_is_refused_and_all_else_waits_its_turn() -> None:
    budget = PictureBudget(100 << 20, costs=PictureCosts(100, 100), pixels=1 << 28)
    whole = (100 << 20) // 100
    (await budget.reserve(whole)).release()
    with pytest.raises(LimitError, match=r"takes 200 MiB of memory here, and 100 MiB are there for pictures"):
        await budget.reserve(2 * whole + 3)
    assert budget.bytes.used == budget.pixels.used == 0


async def test_a_budget_of_pixels_is_shared_and_refuses_nothing() -> None:
    budget = PictureBudget(100 << 20, costs=PictureCosts(1, 1), pixels=10)
    reservation = await budget.reserve(1000)
    assert budget.pixels.used == 10 and budget.bytes.used == 1000
    reservation.release()


def test_what_is_left_is_for_pictures() -> None:
    assert picture_bytes(None, limit=4 << 30, other_bytes=1 << 30) == (3 << 30) - AT_REST_BYTES
    assert picture_bytes(None, limit=4 << 30, other_bytes=4 << 30) == 1 << 30
    assert picture_bytes(5, limit=4 << 30, other_bytes=1 << 30) == 5


async def test_what_pictures_have_freed_is_given_back_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    returned = threading.Event()
    monkeypatch.setattr(picture_budget, "return_free_memory", returned.set)
    budget = PictureBudget(1 << 40, costs=PictureCosts(1, 1), pixels=1 << 40)
    for _ in range(2):
        (await budget.reserve(TRIM_PIXELS // 3)).release()
    await asyncio.sleep(0.02)
    assert not returned.is_set()
    (await budget.reserve(TRIM_PIXELS // 2)).release()
    assert await asyncio.to_thread(returned.wait, 5)


async def test_large_pictures_take_less_a_pixel() -> None:
    costs = PictureCosts(100, 40)
    assert costs.bytes_of(1000) == 100_000
    assert costs.bytes_of(SMALL_PIXELS + 1000) == 100 * SMALL_PIXELS + 40_000


def test_pictures_wider_than_a_panorama_take_more() -> None:
    costs = PictureCosts(100, 40, 1000)
    assert costs.bytes_of(128 * 64, width=128) == costs.bytes_of(128 * 64) == costs.bytes_of(128 * 64, width=64)
    assert costs.bytes_of(128 * 64, width=512) == costs.bytes_of(128 * 64) + 1000 * (512 - 128)
    deep = PictureCosts(100, 40, 1000, 10)
    assert deep.bytes_of(128 * 64, width=512) == costs.bytes_of(128 * 64, width=512) + 10 * 16 * (512 - 128)
    # What the decoder took of these, measured (MiB over rest, base on a CPU), is reserved, and not much more.
    measured = ((64, 65536, 982), (128, 65536, 1285), (256, 65536, 1730), (256, 16384, 483), (512, 16384, 544))
    for height, width, taken in measured:
        assert 1 < RECEIVER_COSTS.bytes_of(height * width, width=width) / (taken << 20) < 1.3


async def test_a_wide_picture_without_room_is_named_by_its_sides() -> None:
    budget = PictureBudget(100 << 20, costs=RECEIVER_COSTS, pixels=1 << 28)
    with pytest.raises(LimitError, match=r"a picture of 65536×64 pixels takes \d{3,4} MiB"):
        await budget.reserve(65536 * 64, width=65536)


async def test_who_gives_up_while_waiting_for_bytes_holds_no_pixels() -> None:
    budget = PictureBudget(1000, costs=PictureCosts(1, 1), pixels=1 << 20)
    first = await budget.reserve(800)
    second = asyncio.create_task(budget.reserve(800))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert budget.pixels.used == 800
    first.release()
    assert budget.bytes.used == budget.pixels.used == 0
