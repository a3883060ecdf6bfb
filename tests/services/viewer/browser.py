"""A browser without a page: HTTP requests and a WebSocket."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


async def request(address: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body of an answer."""
    return await asyncio.to_thread(_request, address, path, body, headers)


def _request(address: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, Any, bytes]:
    asked = urllib.request.Request(f"http://{address}{path}", data=body, headers=dict(headers))
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


async def ask(address: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON body of an answer."""
    status, _, content = await request(address, path, body, **headers)
    return status, json.loads(content)


def page(address: str, **options: Any) -> connect:
    """A WebSocket as the page opens it."""
    return connect(f"ws://{address}/ws", **({"origin": f"http://{address}"} | options))


async def message(socket: ClientConnection, kind: str, seconds: float = 20.0) -> dict[str, Any]:
    """The next text message of a kind; a picture's header counts as one, with its file as `jpeg`."""
    async with asyncio.timeout(seconds):
        while True:
            received = await socket.recv()
            if isinstance(received, bytes):
                end = 4 + int.from_bytes(received[:4], "big")
                found = json.loads(received[4:end])
                tokens = len(received) - found["token_bytes"]
                found |= {"jpeg": received[end:tokens], "tokens": received[tokens:]}
            else:
                found = json.loads(received)
            if found["type"] == kind:
                return found
