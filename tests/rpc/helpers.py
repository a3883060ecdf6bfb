"""What tests of the link share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.transport.carry import link_client
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.transport.retrying_client import RetryingClient
from panolink.rpc.wire.bursts import Burst, Receipt


@asynccontextmanager
async def connected_client(
    target: str, *, timeout: float = 20.0, reconnect_timeout: float = 0.0, **options: Any
) -> AsyncIterator[RetryingClient[Burst, Receipt]]:
    """Bursts to a next hop, on streams of their own."""
    next_hop = Replicas(target, reconnect_timeout=reconnect_timeout, **options)
    client = link_client(next_hop, timeout=timeout, limits=Limits(), metrics=ServiceMetrics())
    yield client
    await client.close()
    await next_hop.close()
