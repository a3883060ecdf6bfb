"""Life cycle of a service process: start, ready, serve, drain on SIGTERM, exit."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from panolink.cpu import share_cores
from panolink.errors import LinkError, PanolinkError, SettingError
from panolink.rpc.environment import misspelt
from panolink.rpc.flow_control.heap import share_one_heap
from panolink.rpc.flow_control.limits import MAX_MESSAGE_BYTES
from panolink.rpc.flow_control.memory_budget import MemoryBudget
from panolink.rpc.flow_control.streams import Streams
from panolink.rpc.observability import logs, tracing
from panolink.rpc.observability.device_metrics import usable_cpus
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.security.credentials import INSECURE
from panolink.rpc.security.token_auth import TokenInterceptor
from panolink.rpc.server.interceptors import CallInterceptor
from panolink.rpc.server.settings import ObservingSettings, ServiceSettings, Settings, load_settings, variable_names
from panolink.rpc.transport.connection import COMMON_OPTIONS
from panolink.rpc.version import version
from panolink.rpc.wire.status import one_line
from panolink.v1 import node_pb2, node_pb2_grpc

log = logging.getLogger(__name__)

_OPTIONS = (
    *COMMON_OPTIONS,
    ("grpc.so_reuseport", 0),  # a port in use is an error
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # clients ping every 20 s; faster ones are disconnected
    ("grpc.max_concurrent_streams", 128),  # calls per connection; further ones wait at the client
)
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
_FORCE_SECONDS = 4.0  # after the drain timeout, a process that still runs is killed
_MAX_OWN_STREAMS = 16  # of reflection and Health/Watch; one more takes the place of the one that was idle for longest
_GRACE_SECONDS = 0.2  # for health checks and the like, once all streams have ended


class Server:
    """A gRPC server with health checking, reflection, `Node.Describe`, and metrics on a port of their own.

    Use it as an async context manager, or through `run`.

    Parameters
    ----------
    name
        `transmitter`, `channel` or `receiver`.
    settings
        Settings of the service.
    metrics
        Metrics of the service.
    describe
        Completes the response of `Node.Describe`, which has name, version and uptime.
    """

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        metrics: ServiceMetrics,
        *,
        describe: Callable[[node_pb2.DescribeResponse], None] = lambda response: None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.metrics = metrics
        self.address = ""
        self.metrics_address = ""
        own = Streams(f"{name}: gRPC's own", limit=_MAX_OWN_STREAMS, idle_seconds=settings.idle_stream_seconds)
        self._server: Any = grpc.aio.server(
            interceptors=[
                CallInterceptor(
                    metrics.rpc,
                    unread_seconds=settings.unread_seconds,
                    request_seconds=settings.handshake_seconds,
                    enter=own.enter,
                ),
                TokenInterceptor(settings.credentials),
            ],
            options=[
                *_OPTIONS,
                ("grpc.max_allowed_incoming_connections", settings.max_connections),
                ("grpc.server_handshake_timeout_ms", int(1000 * settings.handshake_seconds)),
                ("grpc.max_connection_idle_ms", int(1000 * settings.idle_connection_seconds)),
            ],
        )
        self._health = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        self._services = [health.SERVICE_NAME]
        self._streams: list[tuple[Streams, Callable[[], Awaitable[None]] | None]] = []
        self._memory = MemoryBudget(settings.max_bytes_under_way)
        metrics.bytes_under_way.set_function(lambda: self._memory.used)
        if settings.credentials.secure_server:
            metrics.watch_certificate(lambda: settings.credentials.material.expires)
        self._closers: list[Callable[[], Awaitable[None]]] = []
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.add(node_pb2_grpc.add_NodeServicer_to_server, _Node(name, settings, describe), "panolink.v1.Node")

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: Any, full_name: str) -> None:
        """Add a servicer; `full_name` is the name of its gRPC service, `panolink.v1.Link`."""
        add_to_server(servicer, self._server)
        self._services.append(full_name)

    def streams(self, kind: str, *, drained: Callable[[], Awaitable[None]] | None = None) -> Streams:
        """Create the limiter of one kind of streams; kinds are drained in the order of creation.

        `drained()` is called once those of this kind have ended, and awaited before the next kind is drained, as long
        as there is time; in any case before the closers are called.
        """
        streams = Streams(
            f"{self.name}: {kind}",
            limit=self.settings.max_streams,
            peer_limit=self.settings.max_streams_per_host,
            idle_seconds=self.settings.idle_stream_seconds,
            memory=self._memory,
        )
        self.metrics.streams.labels(kind).set_function(lambda: len(streams))
        self._streams.append((streams, drained))
        return streams

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Register `close()` to be awaited after all streams have ended, in reverse order of registration."""
        self._closers.append(close)

    async def start(self) -> None:
        """Start serving; raises `LinkError` if a port is not available."""
        names = [*self._services, reflection.SERVICE_NAME, _REFLECTION_V1]
        reflection.enable_server_reflection(names, self._server)
        self._server.add_generic_rpc_handlers((_reflection_v1(names),))
        try:
            self.address = self._listen(self.settings.listen)
            self.metrics_address = self.metrics.serve(self.settings.metrics_listen)
        except LinkError:
            await self._server.stop(None)  # its threads would keep the process alive
            raise
        await self._server.start()
        loop = asyncio.get_running_loop()
        self.metrics.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        log.info("%s listens on %s, metrics on %s", self.name, self.address, self.metrics_address)

    def _listen(self, address: str) -> str:
        secured = self.settings.credentials.server()
        try:
            if secured:
                port = self._server.add_secure_port(address, secured)
            else:
                port = self._server.add_insecure_port(address)
        except RuntimeError:
            raise LinkError(f"cannot listen on {address}: in use, or not an address of this machine") from None
        return f"{address.rpartition(':')[0]}:{port}"

    async def drain(self) -> None:
        """Report NOT_SERVING, refuse new streams, finish items in flight, and stop."""
        await self._health.enter_graceful_shutdown()
        deadline = time.monotonic() + self.settings.drain_seconds
        rest: list[asyncio.Future[None]] = []
        for streams, drained in self._streams:
            if not await streams.drain(max(0.0, deadline - time.monotonic())):
                log.warning("%d streams did not end within %g s", len(streams), self.settings.drain_seconds)
            if drained:
                rest.append(asyncio.ensure_future(drained()))
                await asyncio.wait(rest, timeout=max(_GRACE_SECONDS, deadline - time.monotonic()))
        await self._server.stop(_GRACE_SECONDS)
        await asyncio.gather(*rest)  # which may have waited for streams that have been ended now
        for close in reversed(self._closers):
            await close()
        self.metrics.close()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()


def _reflection_v1(names: list[str]) -> grpc.GenericRpcHandler:
    """Reflection under its final name, whose messages are those of v1alpha; the package brings only that."""
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(_REFLECTION_V1, {"ServerReflectionInfo": handler})


class _Node(node_pb2_grpc.NodeServicer):
    def __init__(
        self, name: str, settings: ServiceSettings, describe: Callable[[node_pb2.DescribeResponse], None]
    ) -> None:
        self._name = name
        self._limits = node_pb2.ServiceLimits(
            image_bytes=settings.max_image_bytes,
            image_pixels=settings.max_image_pixels,
            burst_symbols=settings.max_burst_symbols,
            message_bytes=MAX_MESSAGE_BYTES,
            in_flight=settings.max_in_flight,
            streams=settings.max_streams,
        )
        self._describe = describe
        self._start = time.monotonic()

    async def Describe(self, request: node_pb2.DescribeRequest, context: Any) -> node_pb2.DescribeResponse:
        uptime = time.monotonic() - self._start
        response = node_pb2.DescribeResponse(
            service=self._name, version=version(), uptime_seconds=uptime, limits=self._limits
        )
        self._describe(response)
        return response


class RunningServer(Protocol):
    """What `run` needs of a server: an async context manager that serves from entering to leaving."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def metrics_address(self) -> str: ...

    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *_: object) -> None: ...


def run(kind: type[Settings], build: Callable[[Settings], RunningServer]) -> int:
    """Run a service until SIGTERM or SIGINT.

    Once it serves, it prints one line of JSON to standard output:
    `{"ready": "channel", "listen": "127.0.0.1:50052", "metrics": "127.0.0.1:9102", "pid": 4711}`.
    A second signal ends it immediately.

    Parameters
    ----------
    kind
        Class of the service's settings.
    build
        Creates the server from settings.

    Returns
    -------
    int
        Exit status: 0, 1 for an error, 2 for an invalid setting.
    """
    service = kind.model_config.get("env_prefix", "").removeprefix("PANOLINK_").strip("_").lower()
    options = _options(f"python -m panolink.services.{service}")
    if options.insecure:
        os.environ[INSECURE] = "1"
    # PID 1 of a container has no default signal handlers: without this it could not be stopped during startup.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    share_one_heap()
    settings = load_settings(kind)
    share_cores(settings.cores_share, usable_cpus())
    observing = load_settings(ObservingSettings)
    logs.configure(settings.service, level=settings.log_level, form=observing.log_format)
    for line in misspelt(os.environ, service=settings.service, settings=variable_names(kind)).values():
        log.warning(line)
    try:
        if observing.otlp_endpoint:
            tracing.start(settings.service, version(), observing.otlp_endpoint)
        return asyncio.run(_serve(settings, build, until_stdin_ends=options.until_stdin_ends))
    except PanolinkError as error:
        print(one_line(error), file=sys.stderr)
        return 2 if isinstance(error, SettingError) else 1
    finally:
        tracing.stop()


def _options(program: str) -> argparse.Namespace:
    """Parse the command line, which has what concerns the start of a process rather than the service."""
    about = "Run a Panolink service until SIGTERM; its settings are environment variables (docs/protocol.md)."
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("--insecure", action="store_true", help=f"listen in the clear on any address ({INSECURE}=1)")
    parser.add_argument(
        "--until-stdin-ends",
        action="store_true",
        help="drain when standard input ends, too: the process at its other end is gone",
    )
    return parser.parse_args()


def _end_within(seconds: float, name: str) -> None:
    """Kill the process after a timeout in seconds, even if a worker thread hangs or the event loop is blocked."""

    def end() -> None:
        log.critical("%s did not end within %g s and is ended by force", name, seconds)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


async def _serve(settings: Settings, build: Callable[[Settings], RunningServer], *, until_stdin_ends: bool) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    signalled = False

    def read_stdin() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            _end_within(settings.drain_seconds + _FORCE_SECONDS, server.name)
            stopping.set()

    def stop(*_: object) -> None:
        nonlocal signalled
        if signalled:
            os._exit(1)
        signalled = True
        _end_within(settings.drain_seconds + _FORCE_SECONDS, server.name)  # here: the loop may be blocked
        loop.call_soon_threadsafe(stopping.set)

    server = build(settings)
    async with server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)  # not the loop's own handler, which waits for whatever blocks the loop
        if until_stdin_ends:
            loop.add_reader(0, read_stdin)
        ready = {
            "ready": server.name,
            "listen": server.address,
            "metrics": server.metrics_address,
            "pid": os.getpid(),
        }
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(ready), flush=True)
        await stopping.wait()
        log.info("%s drains", server.name)
    return 0
