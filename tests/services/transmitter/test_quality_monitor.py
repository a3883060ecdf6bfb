"""The transmitter's own look at what came back: how often, against what, and never in the way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from panolink.images import encode_png, load_panorama
from panolink.metrics.viewport import vpsnr
from panolink.rpc.flow_control.memory_budget import MemoryBudget
from panolink.rpc.flow_control.picture_budget import TRANSMITTER_COSTS, PictureBudget
from panolink.rpc.server.server import Server
from panolink.services.transmitter.quality_monitor import QualityMonitor

Start = Callable[..., Awaitable[Server]]


def measured(server: Server, what: str) -> float:
    return server.metrics.registry.get_sample_value(f"panolink_vpsnr_db_{what}") or 0.0


async def sent(target: str, panoramas: list[Any], **options: Any) -> list[Any]:
    async with Client(target) as link:
        return [delivery async for delivery in link.send(panoramas, **options)]


@pytest.mark.parametrize(("share", "due"), [(0.0, 0), (0.25, 3), (0.5, 6), (1.0, 12)])
async def test_a_share_is_spread_evenly(share: float, due: int) -> None:
    meter = QualityMonitor(share, lambda value: None, MemoryBudget(1), load_panorama)
    assert sum(meter.due() for _ in range(12)) == due


@pytest.mark.slow
async def test_what_comes_back_is_compared_with_what_was_sent(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, quality_share=1)
    (delivery,) = await sent(transmitter.address, [panorama])
    async with asyncio.timeout(20):
        while not measured(transmitter, "count"):
            await asyncio.sleep(0.01)
    assert measured(transmitter, "sum") == pytest.approx(vpsnr(panorama, delivery.picture))


@pytest.mark.slow
async def test_nothing_is_measured_where_no_picture_comes_back_or_nobody_asked(
    start: Start, panorama: np.ndarray
) -> None:
    receiver = await start("receiver")
    for options, settings in (({"picture": False}, {"quality_share": 1}), ({}, {})):
        transmitter = await start("transmitter", target=receiver.address, **settings)
        (delivery,) = await sent(transmitter.address, [panorama], **options)
        assert delivery.delivered
        await asyncio.sleep(0.3)
        assert measured(transmitter, "count") == 0


async def test_one_at_a_time_and_a_fault_costs_a_measurement_only(
    panorama: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[float] = []
    meter = QualityMonitor(1.0, seen.append, MemoryBudget(1 << 20), load_panorama)
    png, pixels = encode_png(panorama), panorama.shape[0] * panorama.shape[1]
    meter.measure(png, png, pixels)
    assert not meter.due()  # while the first one runs
    meter.measure(png, png, pixels)
    async with asyncio.timeout(20):
        while not meter.due():
            await asyncio.sleep(0.01)
    assert len(seen) == 1
    meter.measure(png, b"no picture", pixels)
    async with asyncio.timeout(20):
        while not meter.due():
            await asyncio.sleep(0.01)
    assert len(seen) == 1
    assert "could not be measured" in caplog.text


async def test_both_pictures_are_unpacked_within_the_limit(panorama: np.ndarray) -> None:
    png, pixels = encode_png(panorama), panorama.shape[0] * panorama.shape[1]
    memory, seen = MemoryBudget(2 * pixels), []
    meter = QualityMonitor(1.0, lambda value: seen.append(memory.used), memory, load_panorama)
    others = await memory.reserve(pixels)
    meter.measure(png, png, pixels)
    await asyncio.sleep(0.1)
    assert not seen  # it waits for room
    others.release()
    async with asyncio.timeout(20):
        while not meter.due():
            await asyncio.sleep(0.01)
    assert seen == [2 * pixels]
    assert memory.used == 0


async def test_what_fits_alone_and_not_twice_is_not_measured(
    panorama: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    png, pixels = encode_png(panorama), panorama.shape[0] * panorama.shape[1]
    room = PictureBudget(TRANSMITTER_COSTS.bytes_of(pixels), costs=TRANSMITTER_COSTS, pixels=1 << 30)
    meter = QualityMonitor(1.0, lambda value: None, room, load_panorama)
    meter.measure(png, png, pixels)
    async with asyncio.timeout(20):
        while not meter.due():
            await asyncio.sleep(0.01)
    assert "is not measured" in caplog.text and room.bytes.used == 0
