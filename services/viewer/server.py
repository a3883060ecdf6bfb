"""The viewer's process: its web server, its metrics, and its watch over the link."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time

import uvicorn

from panolink.errors import LinkError
from panolink.services.viewer.app import ViewerApp
from panolink.services.viewer.browser import MAX_MESSAGE_CHARACTERS
from panolink.services.viewer.connections import KEEP_ALIVE_SECONDS, ConnectionGuard
from panolink.services.viewer.hub import Hub
from panolink.services.viewer.link import LinkWatcher, running
from panolink.services.viewer.listening import WebServer, listen, tls_context
from panolink.services.viewer.metrics import ViewerMetrics
from panolink.services.viewer.sender import Sender
from panolink.services.viewer.sent import SentPanoramas
from panolink.services.viewer.settings import ViewerSettings

MAX_MESSAGE_BYTES = 1 << 16
"""Larger WebSocket messages end the connection; those above `MAX_MESSAGE_CHARACTERS` are refused."""

log = logging.getLogger(__name__)


class ViewerServer:
    """The viewer; an async context manager, as `panolink.rpc.server.server.run` needs it."""

    name = "viewer"

    def __init__(self, settings: ViewerSettings) -> None:
        assert MAX_MESSAGE_CHARACTERS < MAX_MESSAGE_BYTES
        self.address = ""
        self.metrics_address = ""
        self.metrics = ViewerMetrics()
        if settings.credentials.secure_server:
            self.metrics.watch_certificate(lambda: settings.credentials.material.expires)
        self.hub = Hub(self.metrics)
        self._settings = settings
        sent = SentPanoramas()
        self._watcher = LinkWatcher(settings, self.hub, self.metrics, sent)
        self._sender = Sender(settings, self.hub, sent)
        restart = _ask_for_restart if settings.supervised else None
        self._app = ViewerApp(
            settings,
            hub=self.hub,
            metrics=self.metrics,
            watcher=self._watcher,
            sender=self._sender,
            sent=sent,
            restart=restart,
        )
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> ViewerServer:
        limit = self._settings.max_connections
        loop = asyncio.get_running_loop()
        self.metrics.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        listening = listen(self._settings.listen, limit=limit + limit // 8 + 1)  # a few are answered that it is full
        try:
            self.metrics_address = self.metrics.serve(self._settings.metrics_listen)
        except LinkError:
            listening.close()
            raise
        host = self._settings.listen.rpartition(":")[0]
        self.address = f"{host}:{listening.getsockname()[1]}"
        handshake_seconds = self._settings.handshake_seconds
        server = WebServer(_config(self._app, self._settings), handshake_seconds=handshake_seconds)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        guard = ConnectionGuard(
            server.server_state.connections,
            limit=limit,
            first_seconds=handshake_seconds,
            unread_seconds=self._settings.unread_seconds,
            clock=time.monotonic,
        )
        self._stack.push_async_callback(_cancelled, asyncio.create_task(guard.run()))
        await self._stack.enter_async_context(running(self._watcher))
        self._stack.push_async_callback(self._end, server, serving)
        while not server.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.01)
        scheme = "https" if self._settings.credentials.secure_server else "http"
        log.info("viewer at %s://%s, metrics on %s", scheme, self.address, self.metrics_address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sender.stop()
        await self._stack.aclose()
        self.metrics.close()

    @staticmethod
    async def _end(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)


def build(settings: ViewerSettings) -> ViewerServer:
    """Create the viewer from its settings."""
    return ViewerServer(settings)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _config(app: ViewerApp, settings: ViewerSettings) -> uvicorn.Config:
    config = uvicorn.Config(
        app.asgi(),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=int(KEEP_ALIVE_SECONDS),
        timeout_graceful_shutdown=2,
    )
    config.load()
    config.ssl = tls_context(settings.credentials)
    return config


def _ask_for_restart() -> None:
    """Ask whoever started this process to end a receiver, and to start it anew."""
    print(json.dumps({"restart": "receiver"}), flush=True)
