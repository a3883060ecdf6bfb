"""One panorama's way from an image file to a burst, and what is known of it at each step."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from panolink.codec.streaming.state import Kind, TokenUpdate
from panolink.images import Picture, encode_png
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmission, Transmitter
from panolink.link.unequal_protection import Choice, Fixed
from panolink.rpc.flow_control.limits import check_limit
from panolink.rpc.observability import tracing
from panolink.rpc.observability.stage_timing import timed
from panolink.rpc.wire.bursts import Burst
from panolink.rpc.wire.capture_times import capture_time
from panolink.rpc.wire.gazes import focus_from_wire, focus_to_wire
from panolink.rpc.wire.segments import LAYERS, schemes_of, segments_to_wire
from panolink.services.transmitter.harq_sender import Retransmitter
from panolink.services.transmitter.pipeline import Extracted, Pipeline
from panolink.services.transmitter.predicted_streams import PredictedStream
from panolink.sphere.focus import quantized
from panolink.v1 import link_pb2, transmitter_pb2

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

_SAMPLE_FORMATS = {
    "cf32_le": link_pb2.SAMPLE_FORMAT_CF32_LE,
    "ci16_le": link_pb2.SAMPLE_FORMAT_CI16_LE,
}


class PanoramaEncoding:
    """Encodes one panorama to a burst.

    Parameters
    ----------
    pipeline
        Shared by all panoramas.
    header
        What was asked for.
    burst_id
        Of the burst.
    stream
        Of which this is the next picture.
    sequence
        Its place in the stream.

    Attributes
    ----------
    delivery : transmitter_pb2.DeliveryHeader
        What is known of the panorama so far; after an error too.
    seconds : dict[str, float]
        Durations of the stages so far.
    choice : Choice or None
        How an adaptive panorama is protected.
    rounds : int
        HARQ rounds that may follow the first one.
    retransmitter : Retransmitter or None
        Makes them.
    number : int
        Of the picture in its stream; 0: a single one, or not coded yet.
    unsent : frozenset of int
        Segments of the burst that were left out.
    activation : bytes
        PNG of the activation map, where it was asked for.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        header: transmitter_pb2.PanoramaHeader,
        burst_id: str,
        stream: PredictedStream | None = None,
        sequence: int = 0,
    ) -> None:
        settings = pipeline.settings
        self.stream, self.sequence, self._focus = stream, sequence, ()
        self.number, self.unsent = 0, frozenset[int]()
        self._pipeline, self._header, self._burst_id = pipeline, header, burst_id
        self._analog = header.analogue if header.HasField("analogue") else settings.analogue
        self.delivery = transmitter_pb2.DeliveryHeader(panorama_id=header.panorama_id, source=header.source)
        self.seconds: dict[str, float] = {}
        self.choice: Choice | None = None
        self.rounds: int = header.harq if header.HasField("harq") else settings.harq
        self.retransmitter: Retransmitter | None = None
        self.activation = b""
        self._digest = b""

    async def run(self, image: bytes) -> Burst:
        """Encode an image file.

        Raises
        ------
        PanolinkError
            The file, the rate or the size cannot be served.
        """
        if self.stream is None:
            return await self._run(image)
        async with self.stream.turn():
            return await self._run(image)

    async def _run(self, image: bytes) -> Burst:
        header, pipeline = self._header, self._pipeline
        codec = pipeline.models.named(header.model)
        self._focus = quantized([focus_from_wire(focus) for focus in header.focus])
        if self.stream and header.follow_gaze:
            self._focus = self.stream.gazes.foci(self._focus)
            age = self.stream.gazes.age
            pipeline.metrics.gaze_age_seconds.set(math.nan if age is None else age)
        self._digest = await pipeline.run(partial(content_digest, header, image))
        width, height = await pipeline.run(partial(self._size_of, image))
        budget = pipeline.feedback.budget(header, pixels=width * height)
        reservation = await pipeline.memory.reserve(width * height, width=width)
        try:
            picture = await pipeline.run(partial(self._decode, image))
            extracted = await pipeline.extract(codec, picture.array)
            self.seconds.update(extracted.seconds)
            tracing.record(extracted.seconds)
            if header.adaptive:
                self.choice = pipeline.feedback.choice()  # as late as can be: receipts have come in meanwhile
            return await pipeline.run(partial(self._transmit, codec, picture, extracted, budget))
        finally:
            reservation.release()

    def _size_of(self, image: bytes) -> tuple[int, int]:
        max_pixels = self._pipeline.settings.limits.image_pixels
        return self._pipeline.decoder.size_of(image, name=self._name, max_pixels=max_pixels)

    def _decode(self, image: bytes) -> Picture:
        with timed(self.seconds, "decode_image"):
            picture = self._pipeline.decoder.read(
                image,
                name=self._name,
                allow_any_aspect=self._header.allow_any_aspect,
                max_pixels=self._pipeline.settings.limits.image_pixels,
            )
        self.delivery.height, self.delivery.width = picture.array.shape[:2]
        return picture

    def _transmit(self, codec: Codec, picture: Picture, extracted: Extracted, budget: SymbolBudget | None) -> Burst:
        header, settings, delivery = self._header, self._pipeline.settings, self.delivery
        if budget:
            delivery.symbol_budget = budget.symbols
        self._report_choice()
        request = RateRequest(
            bpp=header.bpp if header.HasField("bpp") else None,
            mean_bpp=self._mean_bpp(picture.array),
            tau=header.tau if header.HasField("tau") else None,
            budget=budget,
            protection=self.choice or Fixed(),
            analog=self._analog,
            retransmission_reserve=settings.harq_reserve if self.rounds else 0.0,
            pilot_spacing=settings.pilot_spacing,
            probe=True,
            focus=self._focus,
        )
        stage = partial(timed, self.seconds)
        sent = Transmitter(codec).transmit(
            picture.array,
            request,
            features=extracted.features,
            stage=stage,
            sphere=picture.sphere,
            stream=self.stream.encoder if self.stream else None,
        )
        self.number, self.unsent = sent.number, frozenset(sent.unsent)
        self._report_stream(sent)
        if isinstance(sent.protection, Choice):
            self.choice = sent.protection  # a probe has another one
            self._report_choice()
        delivery.model, delivery.model_fingerprint = codec.name, codec.fingerprint
        activation = getattr(sent.tokens, "activation", None)  # what has changed in a stream has none
        if header.return_activation and activation is not None:
            self.activation = encode_png((activation * 255).round().clip(0, 255).astype(np.uint8))
        return self._burst(codec, sent)

    def add_cost(self, before: transmitter_pb2.DeliveryHeader) -> None:
        """Count what the same picture has cost before, in a burst that could not be decoded.

        Parameters
        ----------
        before : DeliveryHeader
            Of that burst.
        """
        delivery = self.delivery
        bits = {count.layer: count.bits for count in before.bits}
        for count in delivery.bits:
            count.bits += bits.pop(count.layer, 0)
        delivery.bits.extend(transmitter_pb2.LayerBits(layer=layer, bits=count) for layer, count in bits.items())
        delivery.bpp += before.bpp
        delivery.symbols += before.symbols
        delivery.symbols_per_pixel += before.symbols_per_pixel
        delivery.rounds += before.rounds
        delivery.retransmitted_symbols += before.retransmitted_symbols

    def _mean_bpp(self, picture: np.ndarray) -> float | None:
        if not self._header.HasField("mean_bits"):
            return None
        return self._header.mean_bits / (picture.shape[0] * picture.shape[1])

    def _report_stream(self, sent: Transmission) -> None:
        """Write into the delivery how a picture of a stream was coded."""
        if not sent.number:
            return
        picture, tokens = self.delivery.stream, sent.tokens
        picture.number = sent.number
        picture.focus.extend(focus_to_wire(focus) for focus in self._focus)
        if isinstance(tokens, TokenUpdate):
            picture.reference = sent.reference
            counts = np.bincount(tokens.kinds.ravel(), minlength=len(Kind)).tolist()
            picture.unchanged, picture.refined, picture.new = counts[0], counts[1], counts[2] + counts[3]
        else:
            picture.new = tokens.kept.size

    def _report_choice(self) -> None:
        """Write into the delivery how an adaptive panorama is protected."""
        if choice := self.choice:
            adaptation = self.delivery.adaptation
            adaptation.snr_db, adaptation.margin_db = choice.snr_db, choice.margin_db
            adaptation.fading, adaptation.base_layer_margin_db = choice.fading, choice.base_layer_margin_db

    def _burst(self, codec: Codec, sent: Transmission) -> Burst:
        header, settings, delivery = self._header, self._pipeline.settings, self.delivery
        segments = segments_to_wire(sent.segments)
        delivery.bits.extend(
            transmitter_pb2.LayerBits(layer=LAYERS[layer], bits=count) for layer, count in sent.bits.items()
        )
        delivery.bpp = sent.bpp
        delivery.tokens, delivery.kept = sent.tokens.kept.size, int(sent.tokens.kept.sum())
        delivery.symbols, delivery.rounds = len(sent.symbols), 1
        delivery.symbols_per_pixel = sent.symbols_per_pixel
        delivery.schemes.extend(schemes_of(segments))
        check_limit(len(sent.symbols), settings.limits.symbols, f"{header.source}: symbols in a burst")
        check_limit(len(segments), settings.limits.segments, f"{header.source}: segments in a burst")
        burst = Burst(
            link_pb2.BurstHeader(
                burst_id=self._burst_id,
                model_fingerprint=codec.fingerprint,
                source=header.source,
                segments=segments,
                sample_format=_SAMPLE_FORMATS[settings.sample_format],
                channel_state=link_pb2.ChannelState(coherence_symbols=len(sent.symbols)),
                return_picture=header.return_picture,
                picture_format=header.picture_format,
                traceparent=header.traceparent,
                pilot_spacing=settings.pilot_spacing,
                content_digest=self._digest,
                stream_id=self.stream.link_id if self.stream else "",
                captured_at=capture_time(header.captured_at),
                sequence=self.sequence,
            ),
            np.ones(1, np.complex64),  # no channel yet: h = 1, no noise
            sent.symbols,
        )
        if self.rounds:
            self.retransmitter = Retransmitter(burst, sent.payloads, sent.formats)
        return burst

    @property
    def _name(self) -> str:
        return self._header.source or self._header.panorama_id


def content_digest(header: transmitter_pb2.PanoramaHeader, image: bytes) -> bytes:
    """Digest, 32 bytes, of what is to be sent: the image file, and the rate and model that were asked for.

    A panorama that is sent again has the same one at any transmitter, whatever has become of the channel.
    """
    asked = transmitter_pb2.PanoramaHeader(
        model=header.model,
        adaptive=header.adaptive,
        deadline_seconds=header.deadline_seconds,
        stream_id=header.stream_id,
        focus=header.focus,
    )
    if rate := header.WhichOneof("rate"):
        setattr(asked, rate, getattr(header, rate))
    return hashlib.sha256(asked.SerializeToString(deterministic=True) + hashlib.sha256(image).digest()).digest()
