"""Server interceptor of every call: errors to statuses, metrics, and a log line."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc.aio

from panolink.errors import BitstreamError, PanolinkError, StallError
from panolink.rpc.flow_control.streams import OpenStream, current_stream
from panolink.rpc.observability.metrics import RpcMetrics
from panolink.rpc.security.token_auth import REFUSES
from panolink.rpc.wire.pushback import PUSHBACK
from panolink.rpc.wire.status import code_named, code_of, one_line

log = logging.getLogger(__name__)

_ABORT_SECONDS = 1.0

_KINDS = {
    "unary_unary": "unary",
    "unary_stream": "server_stream",
    "stream_unary": "client_stream",
    "stream_stream": "bidi_stream",
}
"""Method types: names of gRPC's handlers, and of the metrics."""

_POLLED = ("Describe", "GetConditions")
"""Methods that viewers call every few seconds; where they succeed, a log line each would drown the others."""


@dataclass(frozen=True)
class Call:
    """The method of a call, as labelled in the metrics."""

    kind: str
    service: str
    method: str
    refused: bool = False
    """for want of the token, so that it takes no place"""

    @property
    def labels(self) -> tuple[str, str, str]:
        return self.kind, self.service, self.method


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Maps errors to statuses, and counts and logs every call.

    A `PanolinkError` raised by a handler ends the call with its status and one-line message; any other exception is
    logged with its traceback and ends the call with INTERNAL, without details.

    Parameters
    ----------
    metrics
        Counts calls and messages.
    unread_seconds
        How long a peer may leave a message of a stream unread before the call is ended; None: for ever.
    request_seconds
        How long it may take to send the one message of a method that has one; None: for ever.
    enter
        Enters a stream of gRPC's own services, of which there may be as many as it allows; takes the caller's address.
    """

    def __init__(
        self,
        metrics: RpcMetrics,
        *,
        unread_seconds: float | None = None,
        request_seconds: float | None = None,
        enter: Callable[[str], AbstractContextManager[OpenStream]] = lambda peer: nullcontext(OpenStream(peer)),
    ) -> None:
        self._metrics = metrics
        self._unread_seconds = unread_seconds
        self._request_seconds = request_seconds
        self._enter = enter

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # UNIMPLEMENTED; not measured, as clients choose the name (unbounded labels)
        _, service, method = handler_call_details.method.split("/")
        words = {False: "unary", True: "stream"}
        kind = f"{words[handler.request_streaming]}_{words[handler.response_streaming]}"
        behaviour = getattr(handler, kind)
        refuses = getattr(behaviour, REFUSES, "")
        call = Call(_KINDS[refuses or kind], service, method, refused=bool(refuses))
        # gRPC calls a method with one message once that has come, and waits for it without end: a call that sends
        # headers alone would hold its connection. As a stream of one message it can be waited for here.
        make: Any = getattr(grpc, f"stream_{words[handler.response_streaming]}_rpc_method_handler")
        return make(
            self._wrap(call, handler, behaviour),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _wrap(self, call: Call, handler: Any, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        received = self._metrics.received.labels(*call.labels)
        sent = self._metrics.sent.labels(*call.labels)

        async def counted(messages: Any) -> AsyncIterator[Any]:
            async for message in messages:
                received.inc()
                yield message

        async def incoming(messages: Any) -> Any:
            if handler.request_streaming:
                return counted(messages)
            request = await self._only_message(messages)
            received.inc()
            return request

        async def answer(messages: Any, context: Any) -> Any:
            async with self._observe(call, context):
                with self._place(call, context):
                    response = await behaviour(await incoming(messages), context)
                if not handler.response_streaming:
                    sent.inc()
                return response

        async def stream(messages: Any, context: Any) -> None:
            async with self._observe(call, context):
                with self._place(call, context):
                    async with aclosing(behaviour(await incoming(messages), context)) as responses:
                        async for response in responses:
                            sent.inc()
                            await self._write(context, response)

        return stream if handler.response_streaming and inspect.isasyncgenfunction(behaviour) else answer

    @contextmanager
    def _place(self, call: Call, context: Any) -> Iterator[None]:
        """The place of a stream of gRPC's own services; our own servicers count theirs themselves."""
        if not call.service.startswith("grpc.") or call.kind == "unary" or call.refused:
            yield
            return
        with self._enter(context.peer()) as stream:
            if stream.refusal:
                raise stream.refusal
            try:
                yield
            except asyncio.CancelledError:  # which has lost its reason on the way through `asyncio.Condition`
                if stream.ended_for:
                    raise stream.ended_for from None
                raise

    async def _only_message(self, messages: Any) -> Any:
        """The one message of a call that has one; `StallError` if it does not come in time."""
        try:
            async with asyncio.timeout(self._request_seconds):
                async for message in messages:
                    return message
        except TimeoutError:
            raise StallError(f"the call's message has not come within {self._request_seconds:g} s") from None
        raise BitstreamError("a call without its message")

    async def _write(self, context: Any, response: Any) -> None:
        """Write a message of a stream; `StallError` if the peer leaves it unread for too long."""
        stream = current_stream.get()
        with stream.write() if stream else nullcontext():
            try:
                async with asyncio.timeout(self._unread_seconds):
                    await context.write(response)
            except TimeoutError:
                raise StallError(f"what was sent has not been read for {self._unread_seconds:g} s") from None

    @asynccontextmanager
    async def _observe(self, call: Call, context: Any) -> AsyncIterator[None]:
        self._metrics.started.labels(*call.labels).inc()
        start = time.monotonic()
        code = grpc.StatusCode.OK
        message = ""
        try:
            yield
            code = _code_set(context)
        except GeneratorExit:
            code = grpc.StatusCode.CANCELLED
            raise
        except asyncio.CancelledError as cancelled:
            reason = cancelled.args[0] if cancelled.args else None
            if not isinstance(reason, PanolinkError):  # by the peer, or at shutdown
                code = grpc.StatusCode.CANCELLED
                raise
            code, message = code_of(reason), one_line(reason)  # see `OpenStream.end`
            await _abort(context, code, message)
        except grpc.aio.AbortError:
            code, message = _code_set(context), context.details()
            raise
        except Exception as error:
            code = code_of(error)
            if isinstance(error, PanolinkError):
                message = one_line(error)
            else:
                message = "internal error"
                log.exception("%s/%s failed", call.service, call.method)
            await _abort(context, code, message)
        finally:
            seconds = time.monotonic() - start
            self._metrics.handled.labels(*call.labels, code.name).inc()
            self._metrics.handling.labels(*call.labels).observe(seconds)
            polled = call.service.startswith("grpc.") or (call.method in _POLLED and code is grpc.StatusCode.OK)
            level = logging.DEBUG if polled else logging.INFO
            log.log(level, "%s/%s %s %.3f s %s", call.service, call.method, code.name, seconds, message)


async def _abort(context: Any, code: grpc.StatusCode, message: str) -> None:
    """End a call with a status; a peer that reads nothing does not read that either, and is not waited for."""
    try:
        async with asyncio.timeout(_ABORT_SECONDS):
            await context.abort(code, message, PUSHBACK if code is grpc.StatusCode.RESOURCE_EXHAUSTED else ())
    except TimeoutError:
        raise grpc.aio.AbortError(message) from None


def _code_set(context: Any) -> grpc.StatusCode:
    """Status set by a handler; OK if it set none."""
    code = context.code()
    return code if isinstance(code, grpc.StatusCode) else code_named(int(code or 0))
