"""Results of the public client as values: deliveries, received panoramas, service descriptions."""

from __future__ import annotations

import io
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from panolink.errors import PanolinkError
from panolink.rpc.flow_control.limits import Limits, check_limit
from panolink.rpc.wire.bursts import picture_limit
from panolink.rpc.wire.decoders import decoder_from_wire, realism_from_wire
from panolink.rpc.wire.framing import frames
from panolink.rpc.wire.gazes import focus_from_wire
from panolink.rpc.wire.segments import LAYER_NAMES, scheme_name
from panolink.rpc.wire.stages import in_order
from panolink.rpc.wire.status import code_named, failure_of, with_code
from panolink.sphere.focus import Focus
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata
from panolink.v1 import link_pb2, node_pb2, receiver_pb2, transmitter_pb2


@dataclass(frozen=True)
class Segments:
    """Segment counts of a burst, in total and by layer.

    Attributes
    ----------
    sent, lost
        Segments sent, and those of them lost for good.
    unsent
        Segments dropped by the transmitter to meet a budget; counted neither as sent nor as lost.
    recovered
        Segments recovered by a retransmission; not counted as lost.
    """

    sent: int = 0
    lost: int = 0
    sent_by_layer: Mapping[str, int] = field(default_factory=dict)
    lost_by_layer: Mapping[str, int] = field(default_factory=dict)
    unsent: int = 0
    recovered: int = 0

    @classmethod
    def from_wire(cls, counts: Collection[link_pb2.LayerSegments]) -> Segments:
        sent = {LAYER_NAMES.get(count.layer, "other"): count.sent for count in counts}
        lost = {LAYER_NAMES.get(count.layer, "other"): count.lost for count in counts}
        unsent, recovered = (sum(getattr(count, name) for count in counts) for name in ("unsent", "recovered"))
        return cls(sum(sent.values()), sum(lost.values()), sent, lost, unsent, recovered)


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """Link adaptation of an adaptive panorama.

    Attributes
    ----------
    snr_db
        Es/N0 in dB for which it was protected.
    margin_db
        Margin in dB subtracted from the measured SNR.
    fading
        Expected fading within a burst, from 0 (none) to 1 (Rayleigh).
    base_layer_margin_db
        Additional margin in dB of the base layer (indices).
    """

    snr_db: float
    margin_db: float
    fading: float
    base_layer_margin_db: float


@dataclass(frozen=True)
class StreamPicture:
    """How a picture of a stream was coded.

    Attributes
    ----------
    number, reference
        Of the picture, and of the one that it was predicted from; 0: it was sent whole.
    unchanged, refined, new
        Tokens by what was said of them.
    focus
        Directions in which it was fine.
    overtaken
        A later one had been shown before it arrived: viewers did not get it.
    """

    number: int
    reference: int
    unchanged: int
    refined: int
    new: int
    focus: tuple[Focus, ...] = ()
    overtaken: bool = False


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Outcome of one panorama.

    Attributes
    ----------
    delivered, error, code
        Whether it was delivered; otherwise the reason and its gRPC status code.
    bpp, bits
        Bits per pixel, and bits by layer.
    tokens, kept, concealed
        Tokens in total, those whose features were sent, and those concealed because their segment was lost.
    symbols, retransmitted_symbols, symbols_per_pixel
        Complex symbols of all rounds, pilots included; those of retransmissions; per pixel.
    rounds
        HARQ rounds, the first transmission included.
    symbol_budget
        Maximum number of symbols; None if there was none.
    schemes
        Modulation and coding schemes by layer (`qpsk 1/2`), in the order of the segments.
    adapted
        Link adaptation; None if the panorama was not adaptive.
    snr_db, measured_snr_db
        Es/N0 in dB of the channel's conditions (None: no noise) and as measured by the receiver.
    seconds
        Duration of each stage in seconds.
    stream
        How a picture of a stream was coded; None of a single panorama.
    picture
        The received panorama, uint8 (height, width, 3); None unless requested.
    activation
        The activation map, uint8 (rows, columns), one value per token; None unless requested.
    """

    id: str
    source: str
    delivered: bool
    error: str | None = None
    code: str | None = None
    width: int = 0
    height: int = 0
    model: str = ""
    fingerprint: str = ""
    bpp: float = 0.0
    bits: Mapping[str, int] = field(default_factory=dict)
    tokens: int = 0
    kept: int = 0
    concealed: int = 0
    symbols: int = 0
    symbols_per_pixel: float = 0.0
    rounds: int = 0
    retransmitted_symbols: int = 0
    symbol_budget: int | None = None
    schemes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    adapted: Adapted | None = None
    snr_db: float | None = None
    measured_snr_db: float | None = None
    segments: Segments = field(default_factory=Segments)
    seconds: Mapping[str, float] = field(default_factory=dict)
    picture: np.ndarray | None = field(default=None, repr=False)
    sphere: SphereMetadata = NOTHING_KNOWN
    stream: StreamPicture | None = None
    activation: np.ndarray | None = field(default=None, repr=False)

    @property
    def tau(self) -> float | None:
        """Share of the tokens whose features were sent; None if nothing was sent."""
        return self.kept / self.tokens if self.tokens else None

    @classmethod
    def failed(cls, item_id: str, source: str, failure: link_pb2.Failure) -> Delivery:
        """Delivery of a panorama that failed before anything else was known."""
        return cls(id=item_id, source=source, delivered=False, error=failure.message, code=_code(failure))

    @classmethod
    def from_wire(cls, header: transmitter_pb2.DeliveryHeader, picture: bytes, activation: bytes) -> Delivery:
        received, sphere = _decoded(picture) if picture else (None, NOTHING_KNOWN)
        return cls(
            id=header.panorama_id,
            source=header.source,
            delivered=not header.HasField("failure"),
            error=header.failure.message if header.HasField("failure") else None,
            code=_code(header.failure) if header.HasField("failure") else None,
            width=header.width,
            height=header.height,
            model=header.model,
            fingerprint=header.model_fingerprint,
            bpp=header.bpp,
            bits={LAYER_NAMES.get(count.layer, "other"): count.bits for count in header.bits},
            tokens=header.tokens,
            kept=header.kept,
            concealed=header.concealed_tokens,
            symbols=header.symbols,
            symbols_per_pixel=header.symbols_per_pixel,
            rounds=header.rounds,
            retransmitted_symbols=header.retransmitted_symbols,
            symbol_budget=header.symbol_budget or None,
            schemes=_schemes(header.schemes),
            adapted=_adapted(header.adaptation) if header.HasField("adaptation") else None,
            snr_db=header.snr_db if header.HasField("snr_db") else None,
            measured_snr_db=header.measured_snr_db if header.HasField("measured_snr_db") else None,
            segments=Segments.from_wire(header.segments),
            seconds=in_order(header.seconds),
            stream=_stream_picture(header.stream) if header.HasField("stream") else None,
            picture=received,
            sphere=sphere,
            activation=decode_grey(activation) if activation else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """All fields but the pictures, ready for `json.dumps`."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del values["picture"], values["activation"]
        values["sphere"] = self.sphere.as_dict()
        values["stream"] = None
        if self.stream:
            values["stream"] = vars(self.stream) | {"focus": [vars(focus) for focus in self.stream.focus]}
        values["adapted"] = vars(self.adapted) if self.adapted else None
        segments = self.segments
        values["segments"] = {
            "sent": segments.sent,
            "lost": segments.lost,
            "unsent": segments.unsent,
            "recovered": segments.recovered,
            "by_layer": {
                layer: {"sent": sent, "lost": segments.lost_by_layer[layer]}
                for layer, sent in segments.sent_by_layer.items()
            },
        }
        return values


@dataclass(frozen=True, kw_only=True)
class ReceivedPanorama:
    """A panorama published by a receiver, with its file in the format that was asked for; `array` decodes it.

    Attributes
    ----------
    focus
        Where its sender made it fine.
    kinds
        `panolink.link.token_kinds.TokenKind` of each token, uint8 (rows, columns); None unless requested.
    decoder
        Which kind of decoder made it: `fidelity`, `perceptual`; empty: one in between, one from a file, or the receiver
        does not tell.
    realism
        Of the decoder that made it, 0 (fidelity) … 1 (perceptual); None: one from a file, or the receiver does not say.
    """

    number: int
    burst_id: str
    source: str
    width: int
    height: int
    fingerprint: str
    snr_db: float | None
    segments: Segments
    concealed: int
    dropped: int
    rounds: int
    captured_at: float = 0.0
    """seconds since 1970, by the clock of its source; 0: not known"""
    file: bytes = field(repr=False)
    focus: tuple[Focus, ...] = ()
    kinds: np.ndarray | None = field(default=None, repr=False)
    decoder: str = ""
    realism: float | None = None

    @classmethod
    def from_wire(
        cls, header: receiver_pb2.ReceivedPanoramaHeader, file: bytes, tokens: bytes = b""
    ) -> ReceivedPanorama:
        return cls(
            number=header.number,
            burst_id=header.burst_id,
            source=header.source,
            width=header.width,
            height=header.height,
            fingerprint=header.model_fingerprint,
            snr_db=header.snr_db if header.HasField("snr_db") else None,
            segments=Segments.from_wire(header.segments),
            concealed=header.concealed_tokens,
            dropped=header.dropped,
            rounds=header.rounds,
            captured_at=header.captured_at,
            file=file,
            focus=tuple(map(focus_from_wire, header.focus)),
            kinds=decode_grey(tokens) if tokens else None,
            decoder=decoder_from_wire(header.decoder),
            realism=realism_from_wire(header),
        )

    @property
    def array(self) -> np.ndarray:
        """The picture, uint8 (height, width, 3)."""
        return _decoded(self.file)[0]

    @property
    def sphere(self) -> SphereMetadata:
        """How the camera stood, and which part of the sphere was photographed."""
        return _decoded(self.file)[1]

    @property
    def png(self) -> bytes:
        """The picture as a PNG file: the one that came, or one made of it."""
        if self.file.startswith(b"\x89PNG"):
            return self.file
        from panolink.images import encode_png, is_sphere

        picture, sphere = _decoded(self.file)
        return encode_png(picture, sphere=sphere if is_sphere(self.width, self.height) else None)


@dataclass(frozen=True, kw_only=True)
class ServiceInfo:
    """Description of a running service. Each of `models` has `name`, `fingerprint`, `profile`, and the `decoders` that
    viewers may choose from; `limits` are those of the protocol's `ServiceLimits`, by name, without those that are not
    told."""

    service: str
    version: str
    device: str
    models: tuple[Mapping[str, Any], ...]
    target: str
    uptime_seconds: float
    limits: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_wire(cls, response: node_pb2.DescribeResponse) -> ServiceInfo:
        models = (
            {
                "name": model.name,
                "fingerprint": model.fingerprint,
                "profile": model.profile,
                "decoders": [name for number in model.decoders if (name := decoder_from_wire(number))],
            }
            for model in response.models
        )
        return cls(
            service=response.service,
            version=response.version,
            device=response.device,
            models=tuple(models),
            target=response.target,
            uptime_seconds=response.uptime_seconds,
            limits={limit.name: value for limit, value in response.limits.ListFields()},
        )


async def deliveries(messages: AsyncIterable[Any], limits: Limits) -> AsyncIterator[tuple[str, Delivery]]:
    """Parse the deliveries in a stream of messages.

    Parameters
    ----------
    messages : async iterable of `transmitter_pb2.Delivery`
    limits : Limits
        Of received pictures.

    Returns
    -------
    async iterator of (str, Delivery)
        Each with its panorama's id.
    """

    def admit(header: transmitter_pb2.DeliveryHeader) -> Mapping[str, int]:
        check_limit(header.picture_bytes, picture_limit(limits), "bytes in a picture")
        check_limit(header.activation_bytes, picture_limit(limits), "bytes in an activation map")
        return {"activation": header.activation_bytes, "picture": header.picture_bytes}

    async for frame in frames(messages, admit):
        header: transmitter_pb2.DeliveryHeader = frame.header
        if header.HasField("failure"):
            with_code(header.failure)
        if frame.error:
            yield (
                header.panorama_id,
                Delivery.failed(header.panorama_id, header.source, failure_of(frame.error)),
            )
        else:
            parts = {name: bytes(part) for name, part in frame.parts.items()}
            yield header.panorama_id, Delivery.from_wire(header, parts["picture"], parts["activation"])


def decode_grey(png: bytes) -> np.ndarray:
    """Decode an activation map sent by a transmitter, or kinds of tokens sent by a receiver: a grey PNG file.

    Returns
    -------
    np.ndarray
        uint8 (H, W).

    Raises
    ------
    PanolinkError
        Not a readable PNG file.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return np.asarray(image.convert("L"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise PanolinkError(f"a received map of tokens cannot be read: {error}") from None


def _decoded(file: bytes) -> tuple[np.ndarray, SphereMetadata]:
    """A received picture, uint8 (H, W, 3), and its sphere metadata."""
    from panolink.images.wire_pictures import decode_picture  # decoders are loaded by who looks at pictures

    return decode_picture(file)


def _code(failure: link_pb2.Failure) -> str:
    return code_named(failure.code).name


def _schemes(wire: Iterable[transmitter_pb2.LayerScheme]) -> dict[str, tuple[str, ...]]:
    schemes: dict[str, tuple[str, ...]] = {}
    for one in wire:
        layer = LAYER_NAMES.get(one.layer, "other")
        schemes[layer] = (*schemes.get(layer, ()), scheme_name(one))
    return schemes


def _adapted(wire: transmitter_pb2.Adaptation) -> Adapted:
    return Adapted(
        snr_db=wire.snr_db, margin_db=wire.margin_db, fading=wire.fading, base_layer_margin_db=wire.base_layer_margin_db
    )


def _stream_picture(message: transmitter_pb2.StreamPicture) -> StreamPicture:
    counts = (message.number, message.reference, message.unchanged, message.refined, message.new)
    focus = tuple(focus_from_wire(focus) for focus in message.focus)
    return StreamPicture(*counts, focus, message.overtaken)
