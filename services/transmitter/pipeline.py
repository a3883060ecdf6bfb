"""From an image file to a burst: heavy stages off the event loop, the network in batches over all streams."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from panolink.images import count_pixels, encode_png, load_panorama
from panolink.link.rate_allocation import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.link.unequal_protection import Choice, Fixed
from panolink.rpc.flow_control.limits import check_limit
from panolink.rpc.flow_control.memory_budget import MemoryBudget
from panolink.rpc.observability import tracing
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.observability.stage_timing import in_thread, timed
from panolink.rpc.server.batching import Batcher
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.rpc.wire.bursts import Burst
from panolink.rpc.wire.segments import LAYERS, schemes_of, segments_to_wire
from panolink.services.transmitter.channel_feedback import ChannelFeedback
from panolink.services.transmitter.harq_sender import Retransmitter
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.v1 import link_pb2, transmitter_pb2

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

_SAMPLE_FORMATS = {
    "cf32_le": link_pb2.SAMPLE_FORMAT_CF32_LE,
    "ci16_le": link_pb2.SAMPLE_FORMAT_CI16_LE,
}


@dataclass
class Prepared:
    """A panorama on its way into the air: the delivery as far as it is known.

    `choice` is what it was sent with, where it is adaptive; `rounds` may follow the first one, made by
    `retransmitter`; `analogue` features are amplitudes.
    """

    delivery: transmitter_pb2.DeliveryHeader
    rounds: int = 0
    choice: Choice | None = None
    analogue: bool = False
    retransmitter: Retransmitter | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    activation: bytes = b""


class Pipeline:
    """Decodes, extracts, quantizes, packs, modulates."""

    def __init__(
        self, models: ModelRegistry, settings: TransmitterSettings, metrics: ServiceMetrics, feedback: ChannelFeedback
    ) -> None:
        self._models = models
        self._feedback = feedback
        self._limits = settings.limits
        self.memory = MemoryBudget(settings.max_pixels_under_way)
        """For pixels of pictures that are unpacked."""
        metrics.pixels_under_way.set_function(lambda: self.memory.used)
        self._harq_reserve = settings.harq_reserve
        self._sample_format = _SAMPLE_FORMATS[settings.sample_format]
        self._pilot_spacing = settings.pilot_spacing
        self._workers = ThreadPoolExecutor(settings.workers, "transmitter")
        self._network = ThreadPoolExecutor(1, "network")
        self._extract: dict[str, Batcher[np.ndarray, Any]] = {
            codec.name: Batcher(
                codec.extract,
                executor=self._network,
                max_batch=settings.max_batch or models.batch_size,
                max_wait=settings.batch_wait_seconds,
                max_queue=settings.queue_size,
                observe=metrics.batch_size.labels("encode").observe,
                busy=metrics.device_busy.labels(models.device).inc,
            )
            for codec in models.codecs
        }
        metrics.queue_depth.labels("encode").set_function(lambda: sum(map(len, self._extract.values())))
        metrics.queue_limit.labels("encode").set(settings.queue_size * len(self._extract))

    async def prepare(
        self, header: transmitter_pb2.PanoramaHeader, image: bytes, burst_id: str, prepared: Prepared
    ) -> Burst:
        """The burst that carries a panorama; fills in `prepared` stage by stage.

        A `PanolinkError` leaves in `prepared` what was known by then.
        """
        codec = self._models.named(header.model)
        pixels = await in_thread(self._workers, partial(self._count, header, image))
        budget = self._feedback.budget(header, pixels=pixels)
        reservation = await self.memory.reserve(pixels)
        try:
            return await self._code_picture(codec, header, image, burst_id, budget, prepared)
        finally:
            reservation.release()

    async def _code_picture(
        self,
        codec: Codec,
        header: transmitter_pb2.PanoramaHeader,
        image: bytes,
        burst_id: str,
        budget: SymbolBudget | None,
        prepared: Prepared,
    ) -> Burst:
        picture = await in_thread(self._workers, partial(self._decode, header, image, prepared))
        batched = await self._extract[codec.name](picture)
        network = {"queue": batched.queue_seconds, "encode": batched.run_seconds}
        prepared.seconds.update(network)
        tracing.record(network)
        if header.adaptive:
            prepared.choice = self._feedback.choice()  # as late as can be: receipts have come in meanwhile
        return await in_thread(
            self._workers, partial(self._code, codec, picture, batched.result, budget, header, burst_id, prepared)
        )

    async def close(self) -> None:
        for batcher in self._extract.values():
            await batcher.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._network.shutdown(wait=False, cancel_futures=True)

    def _count(self, header: transmitter_pb2.PanoramaHeader, image: bytes) -> int:
        return count_pixels(image, name=header.source or header.panorama_id, max_pixels=self._limits.image_pixels)

    def _decode(self, header: transmitter_pb2.PanoramaHeader, image: bytes, prepared: Prepared) -> np.ndarray:
        with timed(prepared.seconds, "decode_image"):
            picture = load_panorama(
                image,
                name=header.source or header.panorama_id,
                allow_any_aspect=header.allow_any_aspect,
                max_pixels=self._limits.image_pixels,
            )
        prepared.delivery.height, prepared.delivery.width = picture.shape[:2]
        return picture

    def _code(
        self,
        codec: Codec,
        picture: np.ndarray,
        features: Any,
        budget: SymbolBudget | None,
        header: transmitter_pb2.PanoramaHeader,
        burst_id: str,
        prepared: Prepared,
    ) -> Burst:
        delivery = prepared.delivery
        if budget:
            delivery.symbol_budget = budget.symbols
        if choice := prepared.choice:
            delivery.adaptation.snr_db, delivery.adaptation.margin_db = choice.snr_db, choice.margin_db
            delivery.adaptation.fading, delivery.adaptation.insurance_db = choice.fading, choice.base_layer_margin_db
        request = RateRequest(
            bpp=header.bpp if header.HasField("bpp") else None,
            tau=header.tau if header.HasField("tau") else None,
            budget=budget,
            protection=prepared.choice or Fixed(),
            analog=prepared.analogue,
            retransmission_reserve=self._harq_reserve if prepared.rounds else 0.0,
            pilot_spacing=self._pilot_spacing,
        )
        stage = partial(timed, prepared.seconds)
        sent = Transmitter(codec).transmit(picture, request, features=features, stage=stage)
        segments, tokens = segments_to_wire(sent.segments), sent.tokens
        delivery.model, delivery.model_fingerprint = codec.name, codec.fingerprint
        delivery.bits.extend(
            transmitter_pb2.LayerBits(layer=LAYERS[layer], bits=count) for layer, count in sent.bits.items()
        )
        delivery.bpp = sent.bpp
        delivery.tokens, delivery.kept = tokens.kept.size, int(tokens.kept.sum())
        delivery.symbols, delivery.rounds = len(sent.symbols), 1
        delivery.symbols_per_pixel = sent.symbols_per_pixel
        delivery.schemes.extend(schemes_of(segments))
        if header.return_activation and tokens.activation is not None:
            prepared.activation = encode_png((tokens.activation * 255).round().clip(0, 255).astype(np.uint8))
        check_limit(len(sent.symbols), self._limits.symbols, f"{header.source}: symbols in a burst")
        check_limit(len(segments), self._limits.segments, f"{header.source}: segments in a burst")
        burst = Burst(
            link_pb2.BurstHeader(
                burst_id=burst_id,
                model_fingerprint=codec.fingerprint,
                source=header.source,
                segments=segments,
                sample_format=self._sample_format,
                channel_state=link_pb2.ChannelState(coherence_symbols=len(sent.symbols)),
                return_picture=header.return_picture,
                traceparent=header.traceparent,
                pilot_spacing=self._pilot_spacing,
            ),
            np.ones(1, np.complex64),  # no channel yet: h = 1, no noise
            sent.symbols,
        )
        if prepared.rounds:
            prepared.retransmitter = Retransmitter(burst, sent.payloads, sent.formats)
        return burst
