"""Waiting for the first of several events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")
Default = TypeVar("Default")


async def unless(event: asyncio.Event, awaitable: Awaitable[Result], default: Default) -> Result | Default:
    """Await `awaitable` unless `event` is set first.

    Returns
    -------
    Result or Default
        The result of `awaitable`; `default` if the event was set first, in which case `awaitable` is cancelled.
    """
    wanted = asyncio.ensure_future(awaitable)
    halt = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({wanted, halt}, return_when=asyncio.FIRST_COMPLETED)
        return wanted.result() if wanted.done() else default
    finally:
        wanted.cancel()
        halt.cancel()
