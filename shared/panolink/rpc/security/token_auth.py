"""Who may call: with a token set, whoever shows it. Health is for everybody, for orchestrators cannot show one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc.aio
from grpc_health.v1 import health

from panolink.errors import AccessError
from panolink.rpc.security.credentials import TOKEN_FILE, Credentials, same_token

_OPEN = f"/{health.SERVICE_NAME}/"
_SCHEME = "Bearer "
_QUIET_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Turns calls away, with UNAUTHENTICATED, that do not show the token; everybody may call while none is set."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        wanted = self._credentials.material.token
        if handler is None or wanted is None or handler_call_details.method.startswith(_OPEN):
            return handler
        shown = _shown(handler_call_details.invocation_metadata)
        if shown is not None and same_token(shown, wanted):
            return handler
        return _refusing(handler, "no token was shown" if shown is None else "the token shown is not the right one")


def _shown(metadata: Any) -> str | None:
    """The bearer token in a call's metadata."""
    for name, value in metadata or ():
        if name == "authorization" and isinstance(value, str) and value.startswith(_SCHEME):
            return value.removeprefix(_SCHEME)
    return None


def _refusing(handler: Any, reason: str) -> Any:
    """A handler of the same kind that only refuses."""
    error = AccessError(f"{reason} ({TOKEN_FILE})")

    async def refuse(request: Any, context: Any) -> Any:
        if handler.request_streaming:
            await _ignore(request)
        raise error

    async def refuse_stream(request: Any, context: Any) -> Any:
        await refuse(request, context)
        yield  # makes it a generator, as the method that it stands for

    words = {False: "unary", True: "stream"}
    kind = f"{words[handler.request_streaming]}_{words[handler.response_streaming]}"
    make: Any = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        refuse_stream if handler.response_streaming else refuse,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


async def _ignore(messages: Any) -> None:
    """Let a caller finish what it is writing, for a while: one that is writing when a status arrives does not get to
    see it (grpc/grpc#36066)."""
    source = aiter(messages)
    with suppress(TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                await asyncio.wait_for(anext(source), _QUIET_SECONDS)
