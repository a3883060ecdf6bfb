"""A deep fade, met by adaptive panoramas, over three real processes."""

import asyncio
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.client import Client
from panolink.metrics.viewport import vpsnr
from panolink.phy import Phase, Scenario
from panolink.rpc.wire.deliveries import Delivery

pytestmark = pytest.mark.slow

Launch = Callable[..., Any]
BUDGET = 0.1  # symbols per pixel
PER_PHASE = 7


@pytest.fixture(scope="module")
def panorama(samples: list[Path]) -> np.ndarray:
    with Image.open(samples[0]) as image:
        return np.array(image.convert("RGB").resize((512, 256), Image.Resampling.LANCZOS))


async def read_metrics(service: Any) -> dict[str, float]:
    """Samples by name and labels."""
    url = f"http://{service.metrics}/metrics"
    text = (await asyncio.to_thread(urllib.request.urlopen, url, timeout=5)).read().decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


@pytest.mark.long
@pytest.mark.parametrize("pilot_spacing", [0, 16])
async def test_a_deep_fade_costs_detail_and_no_panorama(
    launch: Launch, panorama: np.ndarray, pilot_spacing: int
) -> None:
    """20 dB, 2 dB, 20 dB, as a scenario by the stream's own clock: about as many panoramas in each phase."""
    pixels = panorama.shape[0] * panorama.shape[1]
    seconds = PER_PHASE * BUDGET * pixels / 1e6
    fade = Scenario([Phase(seconds, {"snr_db": snr_db}) for snr_db in (20.0, 2.0, 20.0)])
    receiver = launch("receiver")
    channel = launch("channel", target=receiver.address, model="awgn", seed=4)
    transmitter = launch("transmitter", target=channel.address, pilot_spacing=pilot_spacing)
    async with Client(channel.address) as control:
        await control.set_conditions(schedule=fade)
    got: list[Delivery] = []
    margins: list[float] = []
    async with Client(transmitter.address, in_flight=1) as client:
        panoramas = [("walk", panorama)] * (3 * PER_PHASE + 2)
        async for delivery in client.send(panoramas, adaptive=True, symbols_per_pixel=BUDGET):
            got.append(delivery)
            margins.append((await read_metrics(transmitter))["panolink_adaptation_margin_db"])
        exported = await read_metrics(transmitter)
        (base,) = [delivery async for delivery in client.send([("walk", panorama)], tau=0.0)]

    assert all(delivery.delivered for delivery in got)
    assert all(delivery.symbols <= int(BUDGET * pixels) == delivery.symbol_budget for delivery in got)
    snrs = [delivery.snr_db or 0.0 for delivery in got]
    taus = [delivery.tau or 0.0 for delivery in got]
    quality = [vpsnr(panorama, delivery.picture) for delivery in got]
    faded = [i for i, snr_db in enumerate(snrs) if snr_db < 3]
    assert len(faded) >= PER_PHASE - 2
    first, last = faded[0], faded[-1]
    before = max(i for i in range(first) if snrs[i] > 19.9)  # one may lie across the border
    during, after = last, len(got) - 1
    kept = [delivery.kept for delivery in got]  # of fewer tokens, where the picture was sent smaller
    assert kept[before] > 2 * kept[during] and kept[after] > 2 * kept[during]
    assert got[before].schemes["features"] != got[during].schemes["features"] != got[after].schemes["features"]
    assert quality[before] > quality[during] and quality[after] > quality[during]
    # Those that the fade surprises lose features, and no index: they are prepared for it.
    assert sum(delivery.segments.lost_by_layer["features"] for delivery in got[before + 1 : first + 1])
    assert not any(delivery.segments.lost_by_layer["indices"] for delivery in got)
    # What is left of those is their base layer, of a smaller picture where that was sent.
    assert min(quality) > vpsnr(panorama, base.picture) - 2
    assert exported["panolink_tau_ratio"] == pytest.approx(taus[-1])
    assert exported["panolink_adaptation_snr_db"] > 15
    assert max(margins) <= 3.0
    assert exported['panolink_panoramas_total{code="OK"}'] == len(got)
    for layer in ("header", "mask", "indices", "features"):
        assert sum(value for name, value in exported.items() if f'scheme_segments_total{{layer="{layer}"' in name) > 0


@pytest.mark.long
async def test_on_a_flat_channel_the_choice_comes_to_rest(launch: Launch, panorama: np.ndarray) -> None:
    receiver = launch("receiver")
    channel = launch("channel", target=receiver.address, model="rayleigh", snr_db=12, coherence_symbols=64, seed=7)
    transmitter = launch("transmitter", target=channel.address)
    async with Client(transmitter.address) as client:
        sent = client.send([("walk", panorama)] * 40, picture=False, adaptive=True, symbols_per_pixel=BUDGET)
        got = sorted([delivery async for delivery in sent], key=lambda delivery: int(delivery.id))
    assert all(delivery.delivered for delivery in got)
    schemes = [delivery.schemes for delivery in got]
    assert schemes[-1] != schemes[0]
    assert sum(one != other for one, other in pairwise(schemes[20:])) <= 3
    lost = sum(delivery.segments.lost for delivery in got[20:])
    assert lost <= 0.1 * sum(delivery.segments.sent for delivery in got[20:])
