"""What metrics tell of hosts and streams: limits of containers, slots that stay few, counts that begin at 0."""

import os
from pathlib import Path

import pytest

from panolink.rpc.flow_control.limits import SlotAllocator
from panolink.rpc.observability import device_metrics as devices
from panolink.rpc.observability.metrics import ServiceMetrics


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
