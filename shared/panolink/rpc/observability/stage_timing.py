"""Stages of the transmission of a panorama, and measurement of their durations."""

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
"""Names of the stages in order. `queue` is the time spent waiting for a network, at both ends; `total` is measured at
the transmitter and includes the time on the wire."""


def in_order(seconds: Mapping[str, float]) -> dict[str, float]:
    """Sort durations by stage; unknown stages come last."""
    known = {stage: seconds[stage] for stage in STAGES if stage in seconds}
    return known | {stage: seconds[stage] for stage in sorted(seconds) if stage not in known}


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the duration of a block to `seconds[stage]`, and record it as a span if tracing is enabled."""
    start = time.monotonic()
    try:
        with tracing.span(stage):
            yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - start


async def in_thread(executor: Executor, work: Callable[[], Result]) -> Result:
    """Run `work` on an executor with the context variables (log ids, span) of the caller."""
    return await asyncio.get_running_loop().run_in_executor(executor, copy_context().run, work)
