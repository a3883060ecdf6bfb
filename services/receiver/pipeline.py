"""From a burst to a picture: heavy stages off the event loop, the network in batches over all streams."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from panolink import phy
from panolink.images import encode_png
from panolink.phy.measuring import Measurement, measured
from panolink.rpc import tracing
from panolink.rpc.batching import Batcher
from panolink.rpc.bursts import Burst
from panolink.rpc.limits import check_limit
from panolink.rpc.metrics import ServiceMetrics
from panolink.rpc.models import Models
from panolink.rpc.room import Hold, Room
from panolink.rpc.segments import count_segments, formats_from_wire, payloads_from_segments
from panolink.rpc.stages import in_thread, timed
from panolink.v1 import link_pb2
from services.receiver.settings import ReceiverSettings

if TYPE_CHECKING:
    from panolink.codec.codec import Codec
    from panolink.codec.tokens import Tokens


@dataclass
class Reception:
    """What has become of a burst so far."""

    segments: Sequence[link_pb2.LayerSegments] = ()
    channel: Measurement | None = None
    payloads: list[bytes | None] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    guessed: int = 0
    picture: np.ndarray | None = None
    hold: Hold | None = None
    """The room that the picture takes; to be released when it is no longer needed."""

    @property
    def header_lost(self) -> bool:
        """Whether the one segment without which nothing can be decoded is missing."""
        return not self.payloads or self.payloads[0] is None


class Pipeline:
    """Demodulates, unpacks, reconstructs."""

    def __init__(self, models: Models, settings: ReceiverSettings, metrics: ServiceMetrics) -> None:
        self._limits = settings.limits
        self._room = Room(settings.max_pixels_under_way)
        metrics.pixels_under_way.set_function(lambda: self._room.used)
        self._device = models.device
        self._workers = ThreadPoolExecutor(settings.workers, "receiver")
        self._network = ThreadPoolExecutor(1, "network")
        self._reconstruct: dict[str, Batcher[Tokens, np.ndarray]] = {
            codec.fingerprint: Batcher(
                codec.reconstruct,
                executor=self._network,
                max_batch=settings.max_batch or models.batch_size,
                max_wait=settings.batch_wait_seconds,
                max_queue=settings.queue_size,
                observe=metrics.batch_size.labels("decode").observe,
                busy=metrics.device_busy.labels(models.device).inc,
            )
            for codec in models.codecs
        }
        metrics.queue_depth.labels("decode").set_function(lambda: sum(map(len, self._reconstruct.values())))
        metrics.queue_limit.labels("decode").set(settings.queue_size * len(self._reconstruct))

    async def receive(self, burst: Burst, codec: Codec, reception: Reception) -> None:
        """Fill in `reception`, stage by stage; a `PanolinkError` leaves in it what was reached."""
        await in_thread(self._workers, partial(self._demodulate, burst, reception))
        if reception.header_lost:
            return
        tokens = await in_thread(self._workers, partial(self._unpack, codec, reception))
        reception.hold = await self._room.take(tokens.height * tokens.width)
        batched = await self._reconstruct[codec.fingerprint](tokens)
        network = {"queue": batched.queue_seconds, "decode": batched.run_seconds}
        reception.seconds.update(network)
        tracing.record(network)
        reception.picture = batched.result

    async def as_png(self, reception: Reception) -> bytes:
        """The picture as a PNG file."""
        assert reception.picture is not None
        with timed(reception.seconds, "encode_picture"):
            return await in_thread(self._workers, partial(encode_png, reception.picture))

    async def close(self) -> None:
        for batcher in self._reconstruct.values():
            await batcher.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._network.shutdown(wait=False, cancel_futures=True)

    def _demodulate(self, burst: Burst, reception: Reception) -> None:
        state, segments = burst.header.channel_state, burst.header.segments
        with timed(reception.seconds, "fec_decode"):
            received = phy.demodulate(
                burst.symbols,
                csi=burst.csi,
                coherence_symbols=state.coherence_symbols,
                noise_variance=state.noise_variance,
                formats=formats_from_wire(segments),
                pilot_spacing=burst.header.pilot_spacing,
                device=self._device,
            )
            reception.channel = measured(
                burst.symbols,
                csi=burst.csi,
                coherence_symbols=state.coherence_symbols,
                noise_variance=state.noise_variance,
                pilot_spacing=burst.header.pilot_spacing,
            )
        reception.payloads = payloads_from_segments(segments, received)
        reception.segments = count_segments(segments, reception.payloads)

    def _unpack(self, codec: Codec, reception: Reception) -> Any:
        from panolink.codec.bitstream import Packet

        with timed(reception.seconds, "entropy_decode"):
            packet = Packet.from_payloads(reception.payloads)
            check_limit(packet.width * packet.height, self._limits.image_pixels, "pixels in a panorama")
            tokens = codec.unpack(packet)
        reception.guessed = 0 if tokens.guessed is None else int(tokens.guessed.sum())
        return tokens
