"""Measurement of how long the stages of a panorama's transmission take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from panolink.rpc.flow_control.aio import until_done
from panolink.rpc.observability import tracing

Result = TypeVar("Result")


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
    """Run `work` on an executor with the context variables (log ids, span) of the caller.

    Cancelled, it ends once `work` has: a thread cannot be stopped, and what it works on takes memory until then.
    """
    running = executor.submit(copy_context().run, work)
    done = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        if not running.cancel():
            await until_done(done)
        raise
