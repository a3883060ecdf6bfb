"""Hybrid ARQ and amplitudes with the shipped model, over three real processes."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.client import Client
from panolink.metrics.viewport import vpsnr
from panolink.rpc.wire.deliveries import Delivery

pytestmark = pytest.mark.slow

Launch = Callable[..., Any]


@pytest.fixture(scope="module")
def panoramas(samples: list[Path]) -> list[np.ndarray]:
    found = list[np.ndarray]()
    for sample in samples:
        with Image.open(sample) as image:
            found.append(np.array(image.convert("RGB").resize((1024, 512), Image.Resampling.LANCZOS)))
    return found


@pytest.fixture(scope="module")
def panorama(panoramas: list[np.ndarray]) -> np.ndarray:
    return panoramas[0]


@pytest.fixture(scope="module")
def link(launch: Launch) -> tuple[Any, Any]:
    """A transmitter and a channel with seeded noise, and a receiver behind them."""
    receiver = launch("receiver")
    channel = launch("channel", target=receiver.address, model="awgn", seed=5)
    return launch("transmitter", target=channel.address), channel


async def sent(link: tuple[Any, Any], panorama: np.ndarray, snr_db: float, **options: Any) -> tuple[float, Delivery]:
    """VPSNR in dB and the delivery."""
    transmitter, channel = link
    async with Client(channel.address) as control:
        await control.set_conditions(snr_db=snr_db)
    async with Client(transmitter.address) as client:
        (delivery,) = [delivery async for delivery in client.send([panorama], **options)]
    assert delivery.delivered and delivery.picture is not None, delivery
    return vpsnr(panorama, delivery.picture), delivery


@pytest.mark.long
async def test_rounds_bring_the_picture_back(link: tuple[Any, Any], panorama: np.ndarray) -> None:
    clean, whole = await sent(link, panorama, 25, bpp=0.1)
    assert whole.segments.lost == 0
    once, lossy = await sent(link, panorama, -2, bpp=0.1)
    again, mended = await sent(link, panorama, -2, bpp=0.1, harq=3)
    assert lossy.segments.lost > lossy.segments.sent / 3
    assert mended.segments.lost < lossy.segments.lost / 2  # a third over several pictures, see below
    assert mended.symbols == lossy.symbols + mended.retransmitted_symbols > lossy.symbols
    assert again > once + 1
    assert again > (once + clean) / 2, (once, again, clean)


@pytest.mark.long
async def test_rounds_bring_most_segments_back(link: tuple[Any, Any], panoramas: list[np.ndarray]) -> None:
    """Of several pictures: one has some twenty segments, of which one more or less is five in a hundred."""
    once = [(await sent(link, panorama, -2, bpp=0.1))[1].segments for panorama in panoramas]
    again = [(await sent(link, panorama, -2, bpp=0.1, harq=3))[1].segments for panorama in panoramas]
    assert sum(segments.lost for segments in again) < sum(segments.lost for segments in once) / 3


async def test_amplitudes_follow_the_snr(link: tuple[Any, Any], panorama: np.ndarray) -> None:
    base, _ = await sent(link, panorama, 25, tau=0.0)
    quality = []
    for snr_db in (1, 6, 11, 16, 21):
        vpsnr_db, delivery = await sent(link, panorama, snr_db, symbols_per_pixel=0.15, analogue=True)
        assert delivery.segments.lost == 0
        assert delivery.symbol_budget and 0.97 * delivery.symbol_budget < delivery.symbols <= delivery.symbol_budget
        quality.append(vpsnr_db)
    assert all(better > worse for worse, better in pairwise(quality)), quality
    assert all(better - worse < 5 for worse, better in pairwise(quality)), quality  # at most a decibel for a decibel
    assert quality[-1] > quality[0] + 2
    assert quality[-1] > base + 2, (base, quality)
