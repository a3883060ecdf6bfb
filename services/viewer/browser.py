"""One browser's WebSocket: messages out of its mailbox, requests in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from panolink.errors import PanolinkError
from panolink.services.viewer.control import json_object
from panolink.services.viewer.hub import Hub, Mailbox, Message, encode
from panolink.services.viewer.metrics import ViewerMetrics

MAX_MESSAGE_CHARACTERS = 4096
REQUESTS_PER_SECOND = 60.0
REQUESTS_AT_ONCE = 120.0

HEARTBEAT_SECONDS = 10.0
"""without a message, after which one says that the viewer is there: pages do not see that a connection has died"""

log = logging.getLogger(__name__)

Handler = Callable[[Mailbox, dict[str, Any]], Awaitable[None]]


class BrowserSession:
    """Serves one browser until it leaves, is too slow, or sends more than is allowed.

    Parameters
    ----------
    handle
        Called with each request; a `PanolinkError` goes to this browser alone.
    send_timeout
        Seconds that one message may take.
    """

    def __init__(
        self, socket: WebSocket, hub: Hub, metrics: ViewerMetrics, handle: Handler, *, send_timeout: float
    ) -> None:
        self._socket = socket
        self._hub = hub
        self._metrics = metrics
        self._handle = handle
        self._send_timeout = send_timeout
        self._credit = REQUESTS_AT_ONCE
        self._credited = 0.0

    async def run(self) -> None:
        """Serve until the connection ends."""
        mailbox = self._hub.join()
        tasks = {asyncio.create_task(self._send(mailbox)), asyncio.create_task(self._receive(mailbox))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(mailbox)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()

    async def _send(self, mailbox: Mailbox) -> None:
        try:
            while True:
                try:
                    messages = await asyncio.wait_for(mailbox.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    messages = [encode("alive", {})]
                for message in messages:
                    async with asyncio.timeout(self._send_timeout):
                        await _send(self._socket, message)
        except TimeoutError:
            self._metrics.refused.labels("slow").inc()
            log.info("browser %d takes nothing any more and is disconnected", mailbox.number)
        except (WebSocketDisconnect, RuntimeError, OSError):
            return

    async def _receive(self, mailbox: Mailbox) -> None:
        while True:
            try:
                received = await self._socket.receive()
            except (WebSocketDisconnect, RuntimeError):
                return
            if received["type"] == "websocket.disconnect":
                return
            if not self._within_rate():
                self._metrics.refused.labels("rate").inc()
                await self._close(1008, "too many requests")
                return
            try:
                await self._handle(mailbox, _parsed(received))
            except PanolinkError as error:
                self._metrics.refused.labels("message").inc()
                mailbox.put_event(encode("refused", {"text": str(error)}))

    def _within_rate(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._credit = min(REQUESTS_AT_ONCE, self._credit + (now - self._credited) * REQUESTS_PER_SECOND)
        self._credited = now
        self._credit -= 1
        return self._credit >= 0

    async def _close(self, code: int = 1000, reason: str = "") -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(1.0):
                    await self._socket.close(code, reason)
            except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
                return


class MessageError(PanolinkError, ValueError):
    """A message that is no request."""


async def _send(socket: WebSocket, message: Message) -> None:
    if isinstance(message, str):
        await socket.send_text(message)
    else:
        await socket.send_bytes(message)


def _parsed(received: Any) -> dict[str, Any]:
    text = received.get("text")
    if text is None:
        raise MessageError("allowed are text messages")
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise MessageError(f"a message has {len(text)} characters; allowed are {MAX_MESSAGE_CHARACTERS}")
    message = json_object(text, "a message")
    if not isinstance(message.get("type"), str):
        raise MessageError("allowed is a JSON object with a type")
    return message
