"""From a burst to a picture: heavy stages off the event loop, the network in batches over all streams."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from panolink.errors import ReferenceNeededError
from panolink.images import encode_png, is_sphere
from panolink.images.wire_pictures import encode_picture
from panolink.link.receiver import BurstDecoder, Retransmission, packet_size, unpack
from panolink.phy.fec.ldpc_decoder import decoder_for
from panolink.phy.snr_estimation import ChannelMeasurement, measure_channel
from panolink.picture_format import PictureFormat
from panolink.rpc.flow_control.picture_budget import RECEIVER_COSTS, PictureReservation
from panolink.rpc.observability import tracing
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.observability.stage_timing import in_thread, timed
from panolink.rpc.server.batching import Batcher
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.rpc.wire.bursts import Burst
from panolink.rpc.wire.segments import counts_to_wire, segments_from_wire
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.receiver.stream_states import StreamStates
from panolink.sphere.focus import Focus
from panolink.v1 import link_pb2

if TYPE_CHECKING:
    from panolink.codec.codec import Codec
    from panolink.codec.tokens import Tokens


@dataclass
class BurstState:
    """What has become of a burst so far."""

    decoder: BurstDecoder | None = None
    """What was decoded; None before the first round, and where that made no sense."""
    channel: ChannelMeasurement | None = None
    """Of the first round, which is the longest."""
    error: Exception | None = None
    """Why the first round could not be received."""
    seconds: dict[str, float] = field(default_factory=dict)
    concealed: int = 0
    reference_needed: bool = False
    """it is predicted from a picture that is not here"""
    late: bool = False
    """a later picture of its stream has been here"""
    tokens: Tokens | None = None
    """those that pictures are made of"""
    kinds: np.ndarray | None = None
    """`TokenKind` of each token, uint8 (rows, cols)"""
    focus: tuple[Focus, ...] = ()
    reservation: PictureReservation | None = None
    """The room that a picture takes; to be released when none is needed any more."""

    @property
    def segments(self) -> Sequence[link_pb2.LayerSegments]:
        """What became of its segments."""
        return counts_to_wire(self.decoder.counts) if self.decoder else ()

    @property
    def header_lost(self) -> bool:
        """Whether the one segment without which nothing can be decoded is missing."""
        return self.decoder.header_lost if self.decoder else True

    @property
    def picture_unsent(self) -> bool:
        """Whether nothing of the picture itself was sent."""
        return self.decoder.picture_unsent if self.decoder else True

    @property
    def lost(self) -> list[int]:
        """Segments that did not arrive."""
        return self.decoder.needed if self.decoder else []

    @property
    def rounds(self) -> int:
        """Rounds that were received."""
        return self.decoder.rounds if self.decoder else 0

    @property
    def needed(self) -> list[int]:
        """Segments that a later round could bring."""
        return self.decoder.needed if self.decoder else []


class Pipeline:
    """Demodulates, unpacks, reconstructs."""

    def __init__(self, models: ModelRegistry, settings: ReceiverSettings, metrics: ServiceMetrics) -> None:
        self._limits = settings.limits
        beside = settings.harq_bytes + settings.stream_bytes + settings.watch_bytes
        self._memory = settings.picture_budget(RECEIVER_COSTS, beside=beside)
        self.streams = StreamStates(settings.stream_bytes)
        """What is held of streams."""
        metrics.pixels_under_way.set_function(lambda: self._memory.pixels.used)
        self._device = models.device
        self._workers = ThreadPoolExecutor(settings.workers, "receiver")
        self._network = ThreadPoolExecutor(1, "network")
        self._models, self._settings, self._metrics = models, settings, metrics
        self._reconstruct: dict[tuple[str, float | None], Batcher[Tokens, np.ndarray]] = {}
        for codec in models.codecs:
            self._batcher(codec, models.realism_for(codec, None))
        # A list: metrics are read on another thread, and there may be another decoder meanwhile.
        metrics.queue_depth.labels("decode").set_function(lambda: max(map(len, list(self._reconstruct.values()))))
        metrics.queue_limit.labels("decode").set(settings.queue_size)

    async def hear(self, burst: Burst, reception: BurstState) -> None:
        """Demodulate a round into `reception`; a `SignalError` leaves in it what was there."""
        await in_thread(self._workers, partial(self._demodulate, burst, reception))

    async def unpack(self, codec: Codec, reception: BurstState, stream_id: str = "", sequence: int = 0) -> None:
        """Fill in the tokens from what was received, and the room for a picture; a `PanolinkError` leaves what was
        reached.

        ``stream_id``: of the stream that it is a picture of; empty: of none. ``sequence``: its place there; 0: unknown.
        """
        assert reception.decoder
        width, height = packet_size(reception.decoder, max_pixels=self._limits.image_pixels)
        reception.reservation = await self._memory.reserve(width * height, width=width)
        reception.tokens = await in_thread(self._workers, partial(self._unpack, codec, reception, stream_id, sequence))

    async def reconstruct(self, codec: Codec, realism: float | None, reception: BurstState) -> np.ndarray:
        """The picture that a decoder makes of the tokens, uint8 (H, W, 3); raises `PanolinkError`.

        ``realism``: of the decoder, as `ModelRegistry.realism_for` has named it.
        """
        assert reception.tokens
        batched = await self._batcher(codec, realism)(reception.tokens)
        network = {"queue": batched.queue_seconds, "decode": batched.run_seconds}
        for stage, seconds in network.items():
            reception.seconds[stage] = reception.seconds.get(stage, 0.0) + seconds
        tracing.record(network)
        return batched.result

    async def as_file(self, reception: BurstState, picture: np.ndarray, format: PictureFormat) -> bytes:
        """A picture as a file, which says that it is a sphere where it is one."""
        assert reception.tokens
        height, width = picture.shape[:2]
        sphere = reception.tokens.sphere if is_sphere(width, height) else None
        with timed(reception.seconds, "encode_picture"):
            return await in_thread(self._workers, partial(encode_picture, picture, format, sphere=sphere))

    async def tokens_as_file(self, reception: BurstState) -> bytes:
        """The kinds of its tokens as a grey PNG file."""
        assert reception.kinds is not None
        return await in_thread(self._workers, partial(encode_png, reception.kinds))

    async def close(self) -> None:
        for batcher in list(self._reconstruct.values()):
            await batcher.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._network.shutdown(wait=False, cancel_futures=True)

    def _batcher(self, codec: Codec, realism: float | None) -> Batcher[Tokens, np.ndarray]:
        """That of a model's decoder; made, and the decoder loaded, when it is first needed."""
        key = codec.fingerprint, realism
        if key not in self._reconstruct:
            settings, metrics = self._settings, self._metrics
            self._reconstruct[key] = Batcher(
                lambda tokens: self._models.with_realism(codec, realism).reconstruct(tokens),
                executor=self._network,
                max_batch=self._models.batch_size,
                max_wait=settings.batch_wait_seconds,
                max_queue=settings.queue_size,
                observe=metrics.batch_size.labels("decode").observe,
                busy=metrics.device_busy.labels(self._device).inc,
            )
        return self._reconstruct[key]

    def _demodulate(self, burst: Burst, reception: BurstState) -> None:
        header, channel = burst.header, channel_of(burst)
        segments = segments_from_wire(header.segments)
        again = None
        if reception.rounds:
            again = Retransmission(header.harq.round, list(header.harq.numbers), segments)
        with timed(reception.seconds, "fec_decode"):
            decoder = reception.decoder or BurstDecoder(segments, decoder_for(self._device))
            decoder.decode(burst.symbols, **channel, retransmission=again, keep=header.harq.rounds_left > 0)
            reception.decoder = decoder
            reception.channel = reception.channel or measure_channel(burst.symbols, **channel)

    def _unpack(self, codec: Codec, reception: BurstState, stream_id: str, sequence: int) -> Tokens:
        assert reception.decoder
        stream = self.streams.get(stream_id, codec) if stream_id else None
        with timed(reception.seconds, "entropy_decode"):
            try:
                unpacked = unpack(codec, reception.decoder, max_pixels=self._limits.image_pixels, stream=stream)
            except ReferenceNeededError:
                reception.reference_needed = bool(stream)
                raise
        if stream:
            self.streams.trim(stream_id, codec)
            place = sequence or unpacked.number  # a picture that was sent again has a later number than it has a place
            reception.late = place > 0 and not self.streams.is_newest(stream_id, codec, place)
        tokens = unpacked.tokens
        reception.kinds, reception.focus = unpacked.kinds, unpacked.focus
        reception.concealed = 0 if tokens.concealed is None else int(tokens.concealed.sum())
        return tokens


def channel_of(burst: Burst) -> dict[str, Any]:
    """Channel state of a burst, as `BurstDecoder.decode` takes it."""
    state = burst.header.channel_state
    return {
        "csi": burst.csi,
        "coherence_symbols": state.coherence_symbols,
        "noise_variance": state.noise_variance,
        "fading_symbols": state.fading_symbols,
        "pilot_spacing": burst.header.pilot_spacing,
    }
