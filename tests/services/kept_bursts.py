"""A burst of known symbols, and a next hop that keeps what arrives."""

from collections.abc import Awaitable

import numpy as np

from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.server.server import Server
from panolink.rpc.server.settings import ServiceSettings
from panolink.rpc.transport.carry import LinkEndpoint
from panolink.rpc.wire.bursts import Burst, Receipt
from panolink.v1 import link_pb2, link_pb2_grpc

SYMBOLS = 1000


def sent(burst_id: str = "1", *, coherence: int = SYMBOLS) -> Burst:
    rng = np.random.default_rng(1)
    symbols = ((rng.integers(0, 2, (SYMBOLS, 2)) * 2 - 1) / np.sqrt(2)).astype(np.float32).view(np.complex64)[:, 0]
    header = link_pb2.BurstHeader(
        burst_id=burst_id,
        segments=[link_pb2.SegmentFormat(payload_bytes=10)],
        sample_format=link_pb2.SAMPLE_FORMAT_CF32_LE,
        channel_state=link_pb2.ChannelState(coherence_symbols=coherence),
    )
    return Burst(header, np.ones(-(-SYMBOLS // coherence), np.complex64), symbols)


class Keeper:
    """A `BurstHandler` that keeps what arrives."""

    def __init__(self) -> None:
        self.bursts: dict[str, Burst] = {}

    def check(self, header: link_pb2.BurstHeader) -> None: ...

    async def accept(self, burst: Burst) -> Awaitable[Receipt]:
        self.bursts[burst.header.burst_id] = burst

        async def receipt() -> Receipt:
            header = link_pb2.ReceiptHeader(burst_id=burst.header.burst_id, seconds={"decode": 1.0})
            return Receipt(header, b"picture")

        return receipt()

    async def close(self) -> None: ...


def next_hop(keeper: Keeper) -> Server:
    settings = ServiceSettings(listen="127.0.0.1:0", metrics_listen="off")
    server = Server("receiver", settings, ServiceMetrics())
    link = LinkEndpoint(lambda: keeper, limits=Limits(), streams=server.streams("link"), in_flight=4)
    server.add(link_pb2_grpc.add_LinkServicer_to_server, link, "panolink.v1.Link")
    return server
