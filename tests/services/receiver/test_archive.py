import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from panolink.errors import SettingError
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.services.receiver.archive import Archive
from panolink.services.receiver.watchers import WatchedPanorama, Watchers
from panolink.v1 import receiver_pb2

Open = Callable[..., tuple[Archive, Watchers, ServiceMetrics]]


def shown(source: str, size: int) -> WatchedPanorama:
    return WatchedPanorama(receiver_pb2.ReceivedPanoramaHeader(source=source), bytes(size))


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[Open]:
    """`open_store(limit)`: a store in tmp_path/"saved" that loses nothing of what is published."""
    stores = []

    def make(limit: int, **options: Any) -> tuple[Archive, Watchers, ServiceMetrics]:
        watchers, metrics = Watchers("block", size=4, on_drop=lambda: None), ServiceMetrics()
        stores.append(Archive(tmp_path / "saved", limit_bytes=limit, watchers=watchers, metrics=metrics, **options))
        return stores[-1], watchers, metrics

    yield make
    for store in stores:
        await store.close()


async def publish(watchers: Watchers, *items: WatchedPanorama) -> None:
    await asyncio.sleep(0)  # the store begins to watch
    for item in items:
        await watchers.publish(item)


def value(metrics: ServiceMetrics, outcome: str) -> float | None:
    return metrics.registry.get_sample_value("panolink_saved_total", {"outcome": outcome})


async def test_files_hold_what_was_received_and_names_lead_nowhere_else(open_store: Open, tmp_path: Path) -> None:
    store, watchers, metrics = open_store(1 << 20)
    await publish(watchers, shown("forest.webp", 10), shown("../../etc/passwd", 20))
    await store.close()
    files = sorted((tmp_path / "saved").iterdir())
    assert [file.name.partition("Z_")[2] for file in files] == ["forest.png", "passwd.png"]
    assert [file.stat().st_size for file in files] == [10, 20]
    assert value(metrics, "written") == 2
    assert metrics.registry.get_sample_value("panolink_saved_bytes") == 30


async def test_the_oldest_make_room_those_of_earlier_runs_first(open_store: Open, tmp_path: Path) -> None:
    store, watchers, _ = open_store(100)
    await publish(watchers, shown("first", 60))
    await store.close()
    foreign = tmp_path / "saved" / "mine.txt"
    foreign.write_text("stays")
    store, watchers, metrics = open_store(100)
    await publish(watchers, shown("second", 60), shown("third", 30))
    await store.close()
    assert sorted(file.name.partition("Z_")[2] for file in (tmp_path / "saved").glob("*.png")) == [
        "second.png",
        "third.png",
    ]
    assert value(metrics, "deleted") == 1
    assert foreign.exists()


async def test_names_sort_as_panoramas_came_though_the_clock_is_set_back(open_store: Open, tmp_path: Path) -> None:
    times = iter(datetime(2026, 1, day, tzinfo=UTC) for day in (5, 3, 3, 4, 6))
    for names in (["one", "two"], ["three", "four", "five"]):  # the service is started anew in between
        store, watchers, _ = open_store(1 << 20, clock=lambda: next(times))
        await publish(watchers, *(shown(name, 10) for name in names))
        await store.close()
    files = sorted((tmp_path / "saved").iterdir())
    assert [file.stem.partition("Z_")[2] for file in files] == ["one", "two", "three", "four", "five"]
    assert files[0].name.startswith("20260105T000000.000000Z") and files[4].name.startswith("20260106T000000.000000Z")


async def test_a_long_name_in_any_script_can_be_written(open_store: Open, tmp_path: Path) -> None:
    store, watchers, metrics = open_store(1 << 20)
    await publish(watchers, shown("森" * 256, 10), shown("x" * 256, 10))
    await store.close()
    assert value(metrics, "written") == 2


async def test_what_cannot_be_written_is_counted(
    open_store: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, watchers, metrics = open_store(1 << 20)
    (tmp_path / "saved").rmdir()
    await publish(watchers, shown("forest", 10))
    await store.close()
    assert value(metrics, "failed") == 1
    assert "cannot be written" in caplog.text


async def test_a_folder_that_cannot_be_used_stops_the_service(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    watchers = Watchers("newest", size=1, on_drop=lambda: None)
    with pytest.raises(SettingError, match=r"PANOLINK_RECEIVER_SAVE_FOLDER=.*file"):
        Archive(tmp_path / "file", limit_bytes=100, watchers=watchers, metrics=ServiceMetrics())


async def test_a_receiver_saves_what_crosses_the_link(start: Any, panorama: np.ndarray, tmp_path: Path) -> None:
    receiver = await start("receiver", save_folder=tmp_path / "saved")
    transmitter = await start("transmitter", target=receiver.address)
    async with Client(transmitter.address) as client:
        async for delivery in client.send([("street", panorama)], picture=False):
            assert delivery.delivered, delivery
    for _ in range(100):
        if files := list((tmp_path / "saved").glob("*Z_street.png")):
            break
        await asyncio.sleep(0.05)
    assert files[0].read_bytes().startswith(b"\x89PNG")
