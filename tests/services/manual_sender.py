"""A sender that a test holds in its hand: one burst to a receiver, round by round, through a channel of its own."""

from typing import Any

import numpy as np

from panolink.link.segments import Segment
from panolink.link.unequal_protection import assign_formats
from panolink.phy import Channel, Conditions, Modulation, Scheme, modulate
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.server.server import Server
from panolink.rpc.transport.connection import open_channel
from panolink.rpc.wire.bursts import Burst, Receipt, burst_messages, receipts
from panolink.rpc.wire.segments import segments_to_wire
from panolink.services.channel.simulator import apply_channel
from panolink.services.transmitter.harq_sender import Retransmitter
from panolink.v1 import link_pb2, link_pb2_grpc

PROTECTED = {"header": 1 / 10, "mask": 1 / 5, "indices": 1 / 3, "features": 1 / 2}
"""QPSK's code rates in bursts that are made here: the link's own may change."""


class Air:
    """A sender of one burst to a receiver, round by round, through a channel that it holds in its hand."""

    def __init__(self, receiver: Server, panorama: np.ndarray, burst_id: str = "air-1") -> None:
        from panolink.codec.codec import Codec

        codec = Codec.load(receiver.settings.models[0], device="cpu")  # type: ignore[attr-defined]
        packet = codec.encode(panorama, tau=0.5, robust=True)
        slices = [(str(piece.layer), piece.payload or b"") for piece in packet.slices]
        schemes = {layer: (Scheme(Modulation.QPSK, rate),) for layer, rate in PROTECTED.items()}
        formats = assign_formats([(layer, len(payload)) for layer, payload in slices if payload], schemes)
        following = iter(formats)
        segments = segments_to_wire(Segment(layer, next(following) if payload else None) for layer, payload in slices)
        payloads = [payload for _, payload in slices if payload]
        symbols = modulate(payloads, formats)
        header = link_pb2.BurstHeader(
            burst_id=burst_id,
            model_fingerprint=codec.fingerprint,
            segments=segments,
            sample_format=link_pb2.SAMPLE_FORMAT_CF32_LE,
            channel_state=link_pb2.ChannelState(coherence_symbols=len(symbols)),
            return_picture=True,
            harq=link_pb2.Harq(rounds_left=3, wait_seconds=20),
        )
        self.receiver = receiver
        self.retransmitter = Retransmitter(Burst(header, np.ones(1, np.complex64), symbols), payloads, formats)
        self.channel = Channel(Conditions("awgn", -3.2, seed=3))

    def first(self, *, rounds_left: int = 3, wait_seconds: float = 20.0) -> Burst:
        """The first round as it arrives."""
        harq = self.retransmitter.first.header.harq
        harq.rounds_left, harq.wait_seconds = rounds_left, wait_seconds
        return apply_channel(self.channel, self.retransmitter.first)[0]

    def round(self, number: int, segments: Any, *, rounds_left: int = 1) -> Burst:
        """A later round as it arrives."""
        made = self.retransmitter.round(number, list(segments), rounds_left=rounds_left, wait_seconds=20.0)
        return apply_channel(self.channel, made)[0]

    async def answers(self, *bursts: Burst) -> list[Receipt]:
        """What the receiver answers to bursts that come one after the other, on one stream."""
        async with open_channel(self.receiver.address) as connection:
            stub: Any = link_pb2_grpc.LinkStub(connection)
            call = stub.Carry()
            answers = receipts(call, Limits())
            got = []
            for burst in bursts:
                for message in burst_messages(burst):
                    await call.write(message)
                got.append((await anext(answers))[1])
            await call.done_writing()
            return got
