"""What a service says of its machine: the real one, and one whose files say something else."""

import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from panolink.cpu import usable_cores
from panolink.rpc.observability import device_metrics
from panolink.rpc.observability.device_metrics import measure_device, resident_memory, usable_cpus, usable_memory
from panolink.rpc.observability.metrics import ServiceMetrics


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group without limits: none of its files is there."""
    monkeypatch.setattr(device_metrics, "_CGROUP", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("content", "cpus"), [("50000 100000", 0.5), ("max 100000", math.inf), ("9900000 100000", 99)])
def test_a_quota_is_less_than_the_machine_s_cpus(cgroup: Path, content: str, cpus: float) -> None:
    assert usable_cpus() == usable_cores()
    (cgroup / "cpu.max").write_text(content + "\n")
    assert usable_cpus() == min(usable_cores(), cpus)


def test_a_limit_is_less_than_the_machine_s_memory(cgroup: Path) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert usable_memory() == machine
    (cgroup / "memory.max").write_text("max\n")
    assert usable_memory() == machine
    (cgroup / "memory.max").write_text(f"{1 << 28}\n")
    assert usable_memory() == 1 << 28


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_in_use_grows_with_what_is_used(cgroup: Path) -> None:
    metrics = ServiceMetrics()
    measure_device("cpu", metrics)

    def exported(name: str) -> float:
        value = metrics.registry.get_sample_value(f"panolink_device_memory_{name}", {"device": "cpu"})
        assert value is not None
        return value

    before = exported("bytes")
    held = np.ones(1 << 26, np.uint8)
    assert exported("bytes") - before > 0.9 * held.nbytes
    assert 0 < resident_memory() < exported("limit_bytes") == usable_memory()


def test_without_nvml_a_gpu_s_utilization_is_left_out(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5 << 20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 << 30))
    metrics = ServiceMetrics()
    with caplog.at_level("INFO"):
        measure_device("cuda:0", metrics)
    labels = {"device": "cuda:0"}
    assert metrics.registry.get_sample_value("panolink_device_memory_bytes", labels) == 5 << 20
    assert metrics.registry.get_sample_value("panolink_device_memory_limit_bytes", labels) == 80 << 30
    assert metrics.registry.get_sample_value("panolink_gpu_utilization_ratio", labels) is None
    assert "no GPU utilization" in caplog.text and "panolink[gpu]" in caplog.text
