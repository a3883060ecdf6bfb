"""gRPC channels: TLS, keep-alive, reconnection, and errors of calls."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc.aio

from panolink.errors import AccessError, LinkError, PanolinkError
from panolink.rpc.flow_control.limits import MAX_MESSAGE_BYTES
from panolink.rpc.security.credentials import CA, CERT, KEY, Credentials, Material, host_of, is_loopback
from panolink.v1 import node_pb2, node_pb2_grpc

Response = TypeVar("Response")

COMMON_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without these gRPC waits a minute for a ping's answer, and after two pings without data sends one a minute.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)

_OPTIONS = (
    *COMMON_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),  # channels do not share the backoff state of a broken connection
)
_RETRY_SECONDS = 0.1
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""Environment variables that gRPC takes a proxy from, in its order."""
_FINISH_SECONDS = 3600.0  # for calls started before the certificates changed

_REFUSALS = (
    ("certificate has expired", "its certificate has expired"),
    ("CERTIFICATE_VERIFY_FAILED", f"its certificate is not signed by an authority in {CA}"),
    ("Hostname Verification Check failed", "its certificate is for other names than this one"),
    ("WRONG_VERSION_NUMBER", f"it speaks in the clear, not TLS (is {CA} meant for another service?)"),
    (
        "Socket closed",
        f"it closed the connection at once: it wants TLS ({CA}), or a valid certificate that its authority has signed "
        f"({CERT} and {KEY}), or it has all the connections that it takes",
    ),
)
"""Fragments of gRPC's messages for failed TLS handshakes, and their meaning. With TLS 1.3, a server that rejects a
client's certificate closes the connection without an alert, and so does one that receives plaintext."""


def open_channel(target: str, credentials: Credentials | None = None, *, authority: str = "") -> grpc.aio.Channel:
    """Open a channel with keep-alive that reconnects within seconds.

    Parameters
    ----------
    target
        Address, `host:port`.
    credentials
        TLS files and token; None: from the environment (`PANOLINK_TLS_…`).
    authority
        `host:port` whose name the server's certificate must match if `target` is one of its resolved addresses.

    Raises
    ------
    SettingError
        Unusable credentials, or a token that would be sent in the clear to another host.
    """
    credentials = credentials or Credentials.from_environment()
    secured = credentials.client(target)
    options: list[tuple[str, Any]] = list(_OPTIONS)
    if is_loopback(target):
        options.append(("grpc.enable_http_proxy", 0))
    if secured is None:
        return grpc.aio.insecure_channel(target, options=options)
    if authority and credentials.secure_client:
        options.append(("grpc.ssl_target_name_override", host_of(authority)))
    return _ReloadingChannel(
        lambda: credentials.material, lambda: grpc.aio.secure_channel(target, secured(), options=options)
    )


def proxy_hint(target: str) -> str:
    """What to say of an HTTP proxy where a target does not answer: gRPC asks it for every host but this one."""
    if is_loopback(target):
        return ""
    name = next((name for name in _PROXIES if os.environ.get(name)), "")
    return f", through the proxy of {name}; no_proxy={host_of(target)} goes around it" if name else ""


class _ReloadingChannel(grpc.aio.Channel):
    """A channel that is replaced when the credentials' files have changed.

    gRPC clients read certificates and token once. Calls started after a change use a new connection; earlier ones
    finish on theirs.
    """

    def __init__(self, material: Callable[[], Material], connect: Callable[[], grpc.aio.Channel]) -> None:
        self._material = material
        self._connect = connect
        self._used = material()
        self._channel = connect()
        self._leaving: set[asyncio.Task[None]] = set()

    def _current(self) -> grpc.aio.Channel:
        if (material := self._material()) is not self._used:
            task = asyncio.create_task(self._channel.close(_FINISH_SECONDS))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            self._used, self._channel = material, self._connect()
        return self._channel

    def unary_unary(self, *args: Any, **options: Any) -> Any:
        return lambda *a, **o: self._current().unary_unary(*args, **options)(*a, **o)

    def unary_stream(self, *args: Any, **options: Any) -> Any:
        return lambda *a, **o: self._current().unary_stream(*args, **options)(*a, **o)

    def stream_unary(self, *args: Any, **options: Any) -> Any:
        return lambda *a, **o: self._current().stream_unary(*args, **options)(*a, **o)

    def stream_stream(self, *args: Any, **options: Any) -> Any:
        return lambda *a, **o: self._current().stream_stream(*args, **options)(*a, **o)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        # Looking alone replaces nothing: metrics do so on a thread of theirs.
        return (self._current() if try_to_connect else self._channel).get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._channel.close(grace)

    async def __aenter__(self) -> _ReloadingChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def wait_until_reachable(channel: grpc.aio.Channel, target: str, seconds: float) -> node_pb2.DescribeResponse:
    """Wait until a service answers.

    Parameters
    ----------
    target
        Its address, for messages.
    seconds
        Timeout.

    Returns
    -------
    DescribeResponse
        What it says of itself; an empty one from a gRPC server without `Node`.

    Raises
    ------
    LinkError
        No service answered in time.
    AccessError
        Authentication failed on either side; raised at once.
    """
    stub: Any = node_pb2_grpc.NodeStub(channel)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            return await stub.Describe(node_pb2.DescribeRequest(), timeout=left)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return node_pb2.DescribeResponse()  # a gRPC server without Node: it is reachable
            found = link_error(error, target)
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise found from None
            if isinstance(found, AccessError):
                raise found from None
        await asyncio.sleep(_RETRY_SECONDS)
    raise LinkError(f"{target}: no service answers there within {seconds:g} s{proxy_hint(target)}")


async def unary_response(call: Awaitable[Response], target: str) -> Response:
    """Response of a unary call.

    Parameters
    ----------
    call : awaitable
    target : str
        Address of the peer, for messages.

    Raises
    ------
    LinkError
        The call failed.
    AccessError
        Authentication failed on either side.
    """
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise link_error(error, target) from None


def link_error(error: grpc.aio.AioRpcError, target: str) -> PanolinkError:
    """Convert an RPC error.

    Parameters
    ----------
    error : grpc.aio.AioRpcError
    target : str
        Address of the peer, for messages.

    Returns
    -------
    PanolinkError
        `AccessError` if authentication failed, otherwise `LinkError`.
    """
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return LinkError(f"{target}: this service does not know that request (is it another kind of service?)")
    refusal = tls_refusal(error)
    if refusal or error.code() == grpc.StatusCode.UNAUTHENTICATED:
        return AccessError(f"{target}: {refusal or error.details()}")
    if error.code() == grpc.StatusCode.UNAVAILABLE and "shutting down" not in (error.details() or ""):
        return LinkError(f"{target}: no service answers there")
    return LinkError(f"{target}: {error.details() or error.code().name}")


def tls_refusal(error: grpc.aio.AioRpcError) -> str:
    """Explanation of a failed TLS handshake; empty for any other error."""
    details = error.details() or ""
    if error.code() != grpc.StatusCode.UNAVAILABLE or "failed to connect" not in details:
        return ""
    return next((words for sign, words in _REFUSALS if sign in details), "")
