"""Seconds of a call, and the operations per second that the machine reaches at best."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from panolink.codec.networks.execution import has_bfloat16

Timed = Callable[[Callable[[], Any]], tuple[float, Any]]


def timer(device: torch.device, runs: int) -> Timed:
    """A function that gives the median seconds of a call, warm, and its last result."""

    def timed(call: Callable[[], Any]) -> tuple[float, Any]:
        result, seconds = call(), []
        for _ in range(runs):
            start = time.perf_counter()
            result = call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds), result

    return timed


def peak_flops(device: torch.device) -> float:
    """Operations per second of a large product of matrices, in bfloat16 where the device has it, as networks run."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = torch.randn(2, size, size, device=device)
    if has_bfloat16(device.type):
        a, b = a.bfloat16(), b.bfloat16()
    seconds, _ = timer(device, 10)(lambda: a @ b)
    return 2 * size**3 / seconds


def bandwidth() -> float:
    """Bytes per second of a copy of memory on the host, those read and those written."""
    source = torch.empty(1 << 27, dtype=torch.uint8)
    target = torch.empty_like(source)
    seconds, _ = timer(torch.device("cpu"), 5)(lambda: target.copy_(source))
    return 2 * source.numel() / seconds
