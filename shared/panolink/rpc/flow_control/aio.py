"""Waiting for whatever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")
Default = TypeVar("Default")


async def unless(event: asyncio.Event, awaitable: Awaitable[Result], default: Default) -> Result | Default:
    """The result of `awaitable`; or, when `event` is set first, cancels it and returns `default`."""
    wanted = asyncio.ensure_future(awaitable)
    halt = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({wanted, halt}, return_when=asyncio.FIRST_COMPLETED)
        return wanted.result() if wanted.done() else default
    finally:
        wanted.cancel()
        halt.cancel()
