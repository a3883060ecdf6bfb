"""A viewer in this process, on a free port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from panolink.services.viewer.server import ViewerServer, build
from panolink.services.viewer.settings import ViewerSettings

StartViewer = Callable[..., Awaitable[ViewerServer]]

NOBODY = "127.0.0.1:1"


@pytest.fixture
async def start_viewer() -> AsyncIterator[StartViewer]:
    """`await start_viewer(receiver=…)` runs a viewer until the test ends; services that are not given do not answer."""
    async with AsyncExitStack() as running:

        async def start(**settings: Any) -> ViewerServer:
            services = {"transmitter": NOBODY, "channel": NOBODY, "receiver": NOBODY}
            values = {"listen": "127.0.0.1:0", "metrics_listen": "off", **services, **settings}
            return await running.enter_async_context(build(ViewerSettings(**values)))

        yield start
