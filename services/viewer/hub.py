"""Fan-out to browsers: each has its own mailbox of bounded size, so that a slow one delays nobody."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import Iterator
from typing import Any

from panolink.services.viewer.gaze import GazeBook
from panolink.services.viewer.metrics import ViewerMetrics

MAX_EVENTS = 64
"""Events (deliveries, qualities) that wait for a browser; the oldest are dropped."""

KEPT = ("delivery", "quality")
"""Events that say something of the latest picture, which a browser that comes later is shown, too."""

Message = str | bytes


class Mailbox:
    """What waits for one browser: the newest picture, the newest state of each kind, and the last events."""

    def __init__(self, number: int, metrics: ViewerMetrics) -> None:
        self.number = number
        self._metrics = metrics
        self._states: dict[str, str] = {}
        self._events: deque[str] = deque(maxlen=MAX_EVENTS)
        self._picture: bytes | None = None
        self._filled = asyncio.Event()

    def put_state(self, kind: str, message: str) -> None:
        """Replace the state of a kind."""
        self._states[kind] = message
        self._filled.set()

    def put_event(self, message: str) -> None:
        """Append an event; the oldest is dropped when `MAX_EVENTS` wait."""
        self._events.append(message)
        self._filled.set()

    def put_picture(self, message: bytes) -> None:
        """Replace the picture: the newest wins."""
        if self._picture is not None:
            self._metrics.skipped.labels("browser").inc()
        self._picture = message
        self._filled.set()

    async def get(self) -> list[Message]:
        """Wait for messages, and take all of them: states, picture, events."""
        await self._filled.wait()
        self._filled.clear()
        messages: list[Message] = list(self._states.values())
        if self._picture is not None:
            messages.append(self._picture)
        messages += self._events
        self._states.clear()
        self._events.clear()
        self._picture = None
        return messages


class Hub:
    """All connected browsers, and what a new one needs to begin with."""

    def __init__(self, metrics: ViewerMetrics) -> None:
        self.gazes = GazeBook(metrics)
        self._metrics = metrics
        self._mailboxes: dict[int, Mailbox] = {}
        self._states: dict[str, str] = {}
        self._picture: bytes | None = None
        self._last_events: dict[str, str] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._mailboxes)

    def join(self) -> Mailbox:
        """Add a browser; it begins with the latest states, the latest picture, and the last event of each of `KEPT`."""
        self._number += 1
        mailbox = Mailbox(self._number, self._metrics)
        for kind, message in self._states.items():
            mailbox.put_state(kind, message)
        if self._picture is not None:
            mailbox.put_picture(self._picture)
        for message in self._last_events.values():
            mailbox.put_event(message)
        self._mailboxes[mailbox.number] = mailbox
        self._metrics.browsers.set(len(self))
        return mailbox

    def leave(self, mailbox: Mailbox) -> None:
        """Remove a browser."""
        self._mailboxes.pop(mailbox.number, None)
        self.gazes.forget(mailbox.number)
        self._metrics.browsers.set(len(self))

    def state(self, kind: str, **values: Any) -> None:
        """Publish a state that replaces the last one of its kind, if it has changed."""
        message = encode(kind, values)
        if self._states.get(kind) != message:
            self._states[kind] = message
            for mailbox in self._all():
                mailbox.put_state(kind, message)

    def event(self, kind: str, **values: Any) -> None:
        """Publish an event."""
        message = encode(kind, values)
        if kind in KEPT:
            self._last_events[kind] = message
        for mailbox in self._all():
            mailbox.put_event(message)

    def picture(self, header: dict[str, Any], jpeg: bytes, tokens: bytes = b"") -> None:
        """Publish a picture: its header's length (4 bytes, big-endian), its header (JSON), a JPEG file, and in the last
        `token_bytes` of the header a grey PNG file with the kind of each token."""
        text = _json({**header, "token_bytes": len(tokens)}).encode()
        self._picture = b"".join((len(text).to_bytes(4, "big"), text, jpeg, tokens))
        self._metrics.pictures.inc()
        for mailbox in self._all():
            mailbox.put_picture(self._picture)

    def snapshot(self) -> dict[str, Any]:
        """All states by kind, and the gazes."""
        states = {kind: json.loads(message) for kind, message in self._states.items()}
        return {"browsers": len(self), "gazes": self.gazes.as_list(), **states}

    def _all(self) -> Iterator[Mailbox]:
        return iter(self._mailboxes.values())


def encode(kind: str, values: dict[str, Any]) -> str:
    """A text message: a JSON object with its kind as `type`."""
    return _json({"type": kind, **values})


def _json(values: dict[str, Any]) -> str:
    """JSON as browsers read it: they know neither NaN nor infinity, which another service may tell."""
    try:
        return json.dumps(values, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(values), allow_nan=False)


def _finite(value: Any) -> Any:
    """The same with null for numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
