"""Features as amplitudes over transmitter, channel and receiver: quality follows the SNR without a code."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from panolink.client import Client
from panolink.rpc.server.server import Server
from panolink.rpc.wire.deliveries import Delivery

pytestmark = pytest.mark.slow

Start = Callable[..., Awaitable[Server]]


@pytest.fixture
def panorama(panorama: np.ndarray) -> np.ndarray:
    """Larger: several index slices."""
    return panorama.repeat(4, 0).repeat(4, 1)


async def sent(target: str, panoramas: Any, **options: Any) -> list[Delivery]:
    async with Client(target, reconnect_timeout=1, in_flight=1) as link:
        return [delivery async for delivery in link.send(panoramas, **options)]


def sample(service: Server, name: str, **labels: str) -> float:
    return service.metrics.registry.get_sample_value(f"panolink_{name}", labels) or 0.0


def error(one: np.ndarray, other: np.ndarray | None) -> float:
    assert other is not None
    return float(np.square(one.astype(np.float64) - other).mean())


async def test_quality_follows_the_snr_without_a_code(start: Start, panorama: np.ndarray) -> None:
    """Measured against the picture of what arrives without noise: an untrained network says nothing of the panorama."""
    receiver = await start("receiver")
    ideal = await start("transmitter", target=receiver.address)
    (exact,) = await sent(ideal.address, [panorama], symbols_per_pixel=0.045, analogue=True)
    assert exact.delivered and exact.picture is not None
    errors = []
    for snr_db in (1, 4, 7, 10, 13, 16):  # on some processors pictures at 20 and 25 dB are the exact one, byte for byte
        channel = await start("channel", target=receiver.address, model="awgn", snr_db=snr_db, seed=1)
        transmitter = await start("transmitter", target=channel.address)
        (delivery,) = await sent(transmitter.address, [panorama], symbols_per_pixel=0.045, analogue=True)
        assert delivery.delivered
        assert delivery.segments.lost == 0
        assert "analogue" in delivery.schemes["features"]
        assert delivery.symbols == exact.symbols
        assert delivery.kept
        errors.append(error(exact.picture, delivery.picture))
    assert all(later < sooner for sooner, later in itertools.pairwise(errors)), errors
    assert errors[-1] < errors[0] / 20, errors


async def test_symbols_are_those_of_coded_features(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address, analogue=True)
    (coded,) = await sent(transmitter.address, [panorama], tau=0.5, analogue=False)
    (analogue,) = await sent(transmitter.address, [panorama], tau=0.5)
    assert coded.delivered and analogue.delivered
    assert "analogue" not in coded.schemes["features"]
    assert 0.98 * coded.symbols < analogue.symbols <= coded.symbols
    assert analogue.kept == coded.kept
    assert analogue.bits["indices"] == coded.bits["indices"]
    assert analogue.bits["features"] == 8 * analogue.segments.sent_by_layer["indices"]  # a byte for each slice
    assert analogue.segments.sent_by_layer["features"] == 1 + analogue.segments.sent_by_layer["indices"]
    assert sample(transmitter, "symbols_total") == coded.symbols + analogue.symbols
    assert sample(transmitter, "scheme_segments_total", layer="features", scheme="analogue") > 0


@pytest.mark.parametrize("pilot_spacing", [0, 10])
async def test_within_a_budget_with_pilots_and_integers(start: Start, panorama: np.ndarray, pilot_spacing: int) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, snr_db=15, seed=1)
    transmitter = await start(
        "transmitter", target=channel.address, sample_format="ci16_le", pilot_spacing=pilot_spacing
    )
    (delivery,) = await sent(transmitter.address, [panorama], symbols_per_pixel=0.045, analogue=True)
    (adaptive,) = await sent(transmitter.address, [panorama], symbols_per_pixel=0.045, analogue=True, adaptive=True)
    for one in (delivery, adaptive):
        assert one.delivered
        assert "analogue" in one.schemes["features"]
        assert one.symbol_budget
        assert 0.97 * one.symbol_budget < one.symbols <= one.symbol_budget


async def test_too_little_for_amplitudes_is_sent_coded(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    transmitter = await start("transmitter", target=receiver.address)
    (base,) = await sent(transmitter.address, [panorama], tau=0.0)
    (delivery,) = await sent(
        transmitter.address, [panorama], symbols_per_pixel=0.9 * base.symbols_per_pixel, analogue=True
    )
    assert delivery.delivered
    assert "analogue" not in delivery.schemes.get("features", ())


async def test_erased_amplitudes_are_concealed_and_counted(start: Start, panorama: np.ndarray) -> None:
    """Segments are packets: what is erased falls back to codebook vectors, and the picture is not far from the base."""
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="ideal", erasure_rate=0.4, seed=4)
    clean, erased = (
        await start("transmitter", target=receiver.address),
        await start("transmitter", target=channel.address),
    )
    (whole,) = await sent(clean.address, [panorama], tau=1.0, analogue=True)
    (base,) = await sent(clean.address, [panorama], tau=0.0)
    assert whole.picture is not None
    lost = 0
    for delivery in await sent(erased.address, [panorama] * 6, tau=1.0, analogue=True):
        if not delivery.delivered:
            assert delivery.code == "DATA_LOSS"
            continue
        lost += delivery.segments.lost_by_layer["features"]
        if not delivery.segments.lost_by_layer["indices"] and not delivery.segments.lost_by_layer["mask"]:
            assert error(whole.picture, delivery.picture) < error(whole.picture, base.picture)
    assert lost


async def test_rounds_bring_the_coded_part_and_keep_the_amplitudes(start: Start, panorama: np.ndarray) -> None:
    receiver = await start("receiver")
    channel = await start("channel", target=receiver.address, model="awgn", snr_db=-5, seed=3)
    transmitter = await start("transmitter", target=channel.address)
    (once,) = await sent(transmitter.address, [panorama], tau=1.0, analogue=True)
    (delivery,) = await sent(transmitter.address, [panorama], tau=1.0, analogue=True, harq=3)
    assert once.segments.lost_by_layer["indices"]
    assert delivery.delivered
    assert delivery.segments.lost == 0
    assert delivery.segments.recovered == once.segments.lost
    assert delivery.symbols == once.symbols + delivery.retransmitted_symbols
