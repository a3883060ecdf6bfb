"""Resource usage of a service: CPUs, memory, and the device of its networks."""

from __future__ import annotations

import importlib
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panolink.cpu import usable_cores

if TYPE_CHECKING:
    from panolink.rpc.observability.metrics import ServiceMetrics

log = logging.getLogger(__name__)

_CGROUP = Path("/sys/fs/cgroup")


def usable_cpus() -> float:
    """Number of CPUs available to this process: its affinity, or its cgroup quota if that is less."""
    cpus = float(usable_cores())
    quota, _, period = _cgroup("cpu.max").partition(" ")
    return min(cpus, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else cpus


def usable_memory() -> float:
    """Memory available to this process in bytes: the machine's, or its cgroup limit if that is less."""
    total = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    limit = _cgroup("memory.max")
    return min(total, float(limit)) if limit.isdigit() else total


def resident_memory() -> float:
    """Resident set size of this process in bytes; NaN if unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return math.nan
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def measure_device(device: str, metrics: ServiceMetrics) -> None:
    """Export memory and, on a GPU, utilization of the device that networks run on.

    Parameters
    ----------
    device
        `cpu`, `cuda:0` …
    metrics
        Where the gauges are registered.
    """
    used, limit = metrics.device_memory.labels(device), metrics.device_memory_limit.labels(device)
    if not device.startswith("cuda"):
        used.set_function(resident_memory)
        limit.set(usable_memory())
        return
    import torch

    used.set_function(lambda: float(torch.cuda.memory_allocated(device)))
    limit.set(torch.cuda.get_device_properties(device).total_memory)
    if utilization := _gpu_utilization(torch.device(device).index or 0):
        metrics.gauge(
            "gpu_utilization_ratio", "Share of time in which the GPU was busy, whoever used it.", "device"
        ).labels(device).set_function(utilization)


def _gpu_utilization(index: int) -> Callable[[], float] | None:
    """Function that queries the utilization of a GPU, 0 to 1; None, with a log line, if NVML is unavailable."""
    import torch

    try:
        pynvml: Any = importlib.import_module("pynvml")
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(index).uuid}")
        pynvml.nvmlDeviceGetUtilizationRates(handle)  # not supported by MIG instances
    except Exception as error:  # not installed, or not supported by the driver; optional
        log.info("no GPU utilization in the metrics: %s (it needs panolink[gpu])", error)
        return None
    return lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100


def _cgroup(name: str) -> str:
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:
        return ""
