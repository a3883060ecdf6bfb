"""Bearer token authentication of calls; health checks are exempt, as orchestrators cannot present a token."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc.aio
from grpc_health.v1 import health

from panolink.errors import AccessError
from panolink.rpc.security.credentials import TOKEN_FILE, Credentials, same_token

_OPEN = f"/{health.SERVICE_NAME}/Check"  # not Watch, which would keep a connection open for ever
_SCHEME = "Bearer "
REFUSES = "refuses"
"""Attribute of what rejects a call: the kind of the method in whose place it stands."""
_IDLE_SECONDS = 0.2
_DRAIN_SECONDS = 5.0


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Rejects calls without the right token as UNAUTHENTICATED; without a token file, every call is allowed."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        wanted = self._credentials.material.token
        if handler is None or wanted is None or handler_call_details.method == _OPEN:
            return handler
        presented = _presented_token(handler_call_details.invocation_metadata)
        if presented is not None and same_token(presented, wanted):
            return handler
        return _refusing(handler, "no token was shown" if presented is None else "the token shown is not the right one")


def _presented_token(metadata: Any) -> str | None:
    """Bearer token in a call's metadata; None if there is none."""
    for name, value in metadata or ():
        if name == "authorization" and isinstance(value, str) and value.startswith(_SCHEME):
            return value.removeprefix(_SCHEME)
    return None


def _refusing(handler: Any, reason: str) -> Any:
    """Handler that rejects every call, without waiting for a message that may never come."""
    error = AccessError(f"{reason} ({TOKEN_FILE})")

    async def refuse(messages: Any, context: Any) -> Any:
        await _drain(messages)
        raise error

    async def refuse_stream(messages: Any, context: Any) -> Any:
        await refuse(messages, context)
        yield  # makes it an async generator, like the method it replaces

    words = {False: "unary", True: "stream"}
    for one in (refuse, refuse_stream):
        setattr(one, REFUSES, f"{words[handler.request_streaming]}_{words[handler.response_streaming]}")

    make: Any = (
        grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
    )
    return make(
        refuse_stream if handler.response_streaming else refuse,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


async def _drain(messages: Any) -> None:
    """Drain a caller's messages for a while: a client that is writing when the status arrives does not see it
    (grpc/grpc#36066)."""
    source = aiter(messages)
    with suppress(TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while True:
                await asyncio.wait_for(anext(source), _IDLE_SECONDS)
