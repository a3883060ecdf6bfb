"""Connections between services: how large messages are, how a dead peer is noticed, how soon we try again."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import grpc.aio

from panolink.errors import LinkError
from panolink.rpc.limits import MAX_MESSAGE_BYTES

Response = TypeVar("Response")

COMMON_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)

_OPTIONS = (
    *COMMON_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),  # one connection's broken state is not another's
)


def open_channel(target: str) -> grpc.aio.Channel:
    """A connection to a service: kept alive, and mended within seconds when the service comes back."""
    return grpc.aio.insecure_channel(target, options=_OPTIONS)


async def asked(call: Awaitable[Response], target: str) -> Response:
    """The response of a unary call; `LinkError` in one line where there is none."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise link_error(error, target) from None


def link_error(error: grpc.aio.AioRpcError, target: str) -> LinkError:
    """What went wrong with a call, for people."""
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return LinkError(f"{target}: this service does not know that request (is it another kind of service?)")
    if error.code() == grpc.StatusCode.UNAVAILABLE and "shutting down" not in (error.details() or ""):
        return LinkError(f"{target}: no service answers there")
    return LinkError(f"{target}: {error.details() or error.code().name}")
