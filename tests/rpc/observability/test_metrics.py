"""What metrics tell of hosts and streams: limits of containers, slots that stay few, counts that begin at 0."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panolink.rpc.flow_control.limits import SlotAllocator
from panolink.rpc.observability import device_metrics as devices
from panolink.rpc.observability.metrics import FINE_SECONDS, ServiceMetrics
from panolink.v1 import link_pb2, transmitter_pb2


@pytest.mark.parametrize(("quota", "share"), [("max 100000", None), ("", None), ("50000 100000", 0.5), ("oops", None)])
def test_processors_are_those_of_the_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, share: float | None
) -> None:
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    if quota:
        (tmp_path / "cpu.max").write_text(quota + "\n")
    assert devices.usable_cpus() == (share or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("limit", ["max", "", "1073741824"])
def test_memory_is_that_of_the_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str) -> None:
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    if limit:
        (tmp_path / "memory.max").write_text(limit + "\n")
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert devices.usable_memory() == (min(machine, int(limit)) if limit.isdigit() else machine)


def test_the_snr_is_that_of_the_last_burst_or_none() -> None:
    metrics = ServiceMetrics()

    def after(message: Any) -> float | None:
        metrics.observe_snr(message)
        return metrics.registry.get_sample_value("panolink_snr_db")

    assert after(link_pb2.ReceiptHeader(snr_db=1.5)) == 1.5
    assert after(link_pb2.ReceiptHeader(failure=link_pb2.Failure(code=15))) == 1.5, "it says nothing of the channel"
    assert after(link_pb2.ReceiptHeader(failure=link_pb2.Failure(code=15), snr_db=-3)) == -3
    for silent in (link_pb2.ReceiptHeader(), link_pb2.ChannelState(), transmitter_pb2.DeliveryHeader()):
        metrics.snr_db.set(5)
        assert math.isnan(after(silent) or 0)


def test_a_device_tells_its_memory() -> None:
    metrics = ServiceMetrics()
    devices.measure_device("cpu", metrics)

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(f"panolink_{name}", {"device": "cpu"})

    used, limit = value("device_memory_bytes"), value("device_memory_limit_bytes")
    assert used and limit and 1e6 < used < limit
    assert value("gpu_utilization_ratio") is None


def test_slots_are_used_again() -> None:
    slots = SlotAllocator()
    assert [slots.acquire() for _ in range(3)] == [0, 1, 2]
    slots.release(1)
    slots.release(0)
    assert [slots.acquire() for _ in range(3)] == [0, 1, 3]


def test_the_first_loss_is_an_increase() -> None:
    registry = ServiceMetrics().registry
    for layer in ("header", "mask", "indices", "features"):
        for name in ("segments_sent_total", "segments_lost_total"):
            assert registry.get_sample_value(f"panolink_{name}", {"layer": layer}) == 0


def histogram_quantile(quantile: float, seconds: np.ndarray) -> float:
    """As Prometheus: the bucket of the quantile's rank, and a straight line within it."""
    bounds = np.array([0.0, *FINE_SECONDS, 60.0])
    counts = np.searchsorted(np.sort(seconds), bounds[1:], side="right")
    rank = quantile * len(seconds)
    bucket = int(np.searchsorted(counts, rank))
    below = counts[bucket - 1] if bucket else 0
    return bounds[bucket] + (bounds[bucket + 1] - bounds[bucket]) * (rank - below) / (counts[bucket] - below)


@pytest.mark.parametrize("quantile", [0.95, 0.99])
@pytest.mark.parametrize("kind", ["steady", "lognormal", "gamma", "two kinds", "uniform"])
def test_quantiles_from_2_5_to_10_s_are_right_within_15_percent(kind: str, quantile: float) -> None:
    """A thousand panoramas on slow hosts, of whichever distribution; the worst is where all take the same time."""
    random = np.random.default_rng(1)
    checked = 0
    for scale in np.geomspace(0.3, 9.9, 60):
        seconds = {
            "steady": np.full(1000, scale),
            "lognormal": random.lognormal(np.log(scale), 0.5, 1000),
            "gamma": random.gamma(2, scale / 2, 1000),
            "two kinds": np.where(random.random(1000) < 0.9, 0.4, scale),
            "uniform": random.uniform(0, scale, 1000),
        }[kind]
        true = float(np.quantile(seconds, quantile, method="inverted_cdf"))
        if 2.5 <= true <= 10:
            checked += 1
            assert histogram_quantile(quantile, seconds) == pytest.approx(true, rel=0.15)
    assert checked >= 5
