"""The stages of a panorama's way, and how their durations are taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from panolink.rpc.observability import tracing

Result = TypeVar("Result")

STAGES = (
    "decode_image",
    "encode",
    "quantize",
    "entropy_code",
    "fec_encode",
    "channel",
    "fec_decode",
    "entropy_decode",
    "decode",
    "encode_picture",
    "queue",
    "total",
)
"""Names of durations, in the order of the way. `queue` is the wait for a network, at both ends; `total` is measured
at the transmitter, and is more than the sum by the time on the wire."""


def in_order(seconds: Mapping[str, float]) -> dict[str, float]:
    """Durations by stage, in the order of the way; names that are not ours come last."""
    known = {stage: seconds[stage] for stage in STAGES if stage in seconds}
    return known | {stage: seconds[stage] for stage in sorted(seconds) if stage not in known}


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the duration of a block to `seconds[stage]`; where panoramas are traced, it is a span too."""
    start = time.monotonic()
    try:
        with tracing.span(stage):
            yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - start


async def in_thread(executor: Executor, work: Callable[[], Result]) -> Result:
    """Run `work` on a thread of the executor, where it knows which panorama it is about (see `logs`, `tracing`)."""
    return await asyncio.get_running_loop().run_in_executor(executor, copy_context().run, work)
