"""A real photograph crosses three real processes."""

import asyncio
import signal
import time
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from panolink.client import Client
from panolink.images import load_panorama
from panolink.metrics.viewport import vpsnr
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.deliveries import Delivery

pytestmark = pytest.mark.slow

Service = Any
Launch = Callable[..., Service]


@pytest.fixture(scope="module")
def link(launch: Launch) -> tuple[Service, Service, Service]:
    """Transmitter, channel and receiver, in the order in which a panorama meets them."""
    receiver = launch("receiver")
    channel = launch("channel", target=receiver.address, model="rayleigh", seed=2)
    transmitter = launch("transmitter", target=channel.address)
    return transmitter, channel, receiver


async def sent(target: str, panoramas: Any, **options: Any) -> list[Delivery]:
    async with Client(target) as client:
        return [delivery async for delivery in client.send(panoramas, **options)]


@pytest.mark.long
async def test_quality_rises_with_the_channel_and_falls_off_no_cliff(
    link: tuple[Service, Service, Service], samples: list[Path]
) -> None:
    transmitter, channel, _ = link
    originals = {str(path): load_panorama(path) for path in samples[:2]}

    async def quality_at(snr: float, **rate: float) -> tuple[float, list[Delivery]]:
        async with Client(channel.address) as control:
            await control.set_conditions(snr_db=snr)
        deliveries = await sent(transmitter.address, list(originals), **rate)
        for delivery in deliveries:
            assert delivery.delivered, delivery
            assert delivery.snr_db == snr
        pictures = [(originals[delivery.source], delivery.picture) for delivery in deliveries]
        return float(np.mean([vpsnr(original, picture) for original, picture in pictures])), deliveries

    base_layer_alone, _ = await quality_at(20, tau=0.0)
    results = {snr: await quality_at(snr, bpp=0.15) for snr in (0, 5, 10, 20)}
    quality = [value for value, _ in results.values()]
    lost = [sum(delivery.segments.lost for delivery in deliveries) for _, deliveries in results.values()]
    assert all(worse <= better + 0.05 for worse, better in pairwise(quality)), quality
    assert quality[-1] > quality[0] + 1, quality
    assert all(better - worse < 6 for worse, better in pairwise(quality)), quality
    # What the enhancement layer adds may be lost, what the base layer holds may not.
    assert quality[0] > base_layer_alone - 1, (quality, base_layer_alone)
    assert lost == sorted(lost, reverse=True)
    assert lost[-1] == 0


async def test_bad_files_fail_alone(
    link: tuple[Service, Service, Service], samples: list[Path], tmp_path: Path
) -> None:
    transmitter, channel, _ = link
    async with Client(channel.address) as control:
        await control.set_conditions(snr_db=20)
    cut, text = tmp_path / "cut.webp", tmp_path / "notes.txt"
    cut.write_bytes(samples[0].read_bytes()[:5000])
    text.write_text("no picture")
    deliveries = await sent(transmitter.address, [cut, samples[0], text, tmp_path / "nowhere.png"], picture=False)
    by_source = {Path(delivery.source).name: delivery for delivery in deliveries}
    assert by_source.pop(samples[0].name).delivered
    assert len(by_source) == 3
    for name, delivery in by_source.items():
        assert delivery.code == "INVALID_ARGUMENT"
        assert name in (delivery.error or "")


async def test_health_reflection_and_metrics_answer(link: tuple[Service, Service, Service]) -> None:
    expected = ("Transmitter", "Channel", "Receiver")
    for service, name in zip(link, expected, strict=True):
        async with open_channel(service.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            for asked in ("", f"panolink.v1.{name}"):
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=asked))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
            request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"panolink.v1.{name}")
            async for response in reflection.ServerReflectionInfo(iter([request])):
                assert response.file_descriptor_response.file_descriptor_proto
        async with Client(service.address) as client:
            assert (await client.info()).service == service.name
        url = f"http://{service.metrics}/metrics"
        text = (await asyncio.to_thread(urllib.request.urlopen, url, timeout=5)).read().decode()
        assert "panolink_in_flight 0.0" in text


@pytest.mark.long
async def test_sigterm_drains(launch: Launch, samples: list[Path]) -> None:
    receiver = launch("receiver")
    transmitter = launch("transmitter", target=receiver.address, max_in_flight=2)
    async with Client(transmitter.address, reconnect_timeout=0.5) as client:
        deliveries = client.send([samples[n % 2] for n in range(12)], picture=False)
        got = [await anext(deliveries)]
        transmitter.process.send_signal(signal.SIGTERM)
        got += [delivery async for delivery in deliveries]
    assert await asyncio.to_thread(transmitter.process.wait, 30) == 0
    assert sorted(int(delivery.id) for delivery in got) == list(range(1, 13))
    assert got[0].delivered
    assert {delivery.code for delivery in got if not delivery.delivered} == {"UNAVAILABLE"}
    assert receiver.stop(signal.SIGINT) == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to see which signals are handled")
def test_sigterm_ends_a_service_that_is_still_starting(start_service: Callable[[str], Any]) -> None:
    process = start_service("receiver")

    def handled() -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("SigCgt:")[2].split()[0], 16)

    while not handled() & 1 << (signal.SIGTERM - 1):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("name", "setting", "value", "status", "said"),
    [
        ("channel", "SNR_DB", "loud", 2, "PANOLINK_CHANNEL_SNR_DB=loud: "),
        ("transmitter", "TARGET", "nowhere", 2, "PANOLINK_TRANSMITTER_TARGET=nowhere: allowed is host:port"),
        ("receiver", "MODELS", "huge", 1, "unknown model 'huge'"),
        ("channel", "LISTEN", "192.0.2.1:50052", 1, "cannot listen on 192.0.2.1:50052"),
    ],
)
def test_a_bad_setting_stops_with_one_line(
    run_service: Callable[..., Any], name: str, setting: str, value: str, status: int, said: str
) -> None:
    ended = run_service(name, PANOLINK_INSECURE=1, **{setting: value})
    assert ended.returncode == status
    (line,) = ended.stderr.splitlines()
    assert line.startswith(said)
