"""A bare gRPC server for stand-ins: what stands behind a hop in these tests is real gRPC, only simple."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio
import numpy as np
import pytest

from panolink.rpc.wire.bursts import Burst
from panolink.v1 import link_pb2

Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(add_X_to_server, servicer, …)` starts a server and gives its address."""
    servers = []

    async def start(*pairs: Any, port: int = 0) -> str:
        server: Any = grpc.aio.server()
        for add, servicer in zip(pairs[::2], pairs[1::2], strict=True):
            add(servicer, server)
        address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        await server.start()
        servers.append(server)
        return address

    yield start
    for server in servers:
        await server.stop(None)


@pytest.fixture
def burst() -> Callable[..., Burst]:
    """Makes small bursts; symbols are random, for nobody demodulates them."""

    def make(burst_id: str = "1", *, symbols: int = 1000, sample_format: int = link_pb2.SAMPLE_FORMAT_CF32_LE) -> Burst:
        noise = np.random.default_rng(1).standard_normal(2 * symbols, np.float32).view(np.complex64)
        header = link_pb2.BurstHeader(
            burst_id=burst_id,
            model_fingerprint="0123456789abcdef",
            segments=[link_pb2.SegmentFormat(payload_bytes=10, layer=link_pb2.LAYER_HEADER)],
            symbols=symbols,
            sample_format=sample_format,  # type: ignore[arg-type]
            channel_state=link_pb2.ChannelState(coefficients=1, coherence_symbols=max(symbols, 1)),
        )
        return Burst(header, np.ones(1, np.complex64), noise)

    return make
