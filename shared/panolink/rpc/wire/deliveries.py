"""What a user of the link sees, as values: deliveries, received panoramas, services."""

from __future__ import annotations

import io
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from panolink.errors import PanolinkError
from panolink.rpc.flow_control.limits import Limits, check_limit
from panolink.rpc.observability.stage_timing import in_order
from panolink.rpc.wire.bursts import picture_limit
from panolink.rpc.wire.framing import frames
from panolink.rpc.wire.segments import LAYER_NAMES, scheme_name
from panolink.rpc.wire.status import code_named, failure_of
from panolink.v1 import link_pb2, node_pb2, receiver_pb2, transmitter_pb2


@dataclass(frozen=True)
class Segments:
    """Segments of a burst: how many were sent, how many were lost, and both by layer.

    `unsent` ones were left out by the transmitter, to keep a budget: they are among neither. `recovered` ones failed at
    first and came with a later round: they are not among the lost.
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
    """What an adaptive panorama was sent for: an SNR in dB, what had been taken off it, the amount of fading, and how
    much further than usual the SNR might have fallen before indices were lost."""

    snr_db: float
    margin_db: float
    fading: float
    base_layer_margin_db: float


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of one panorama; if it was not delivered, `error` says why and `code` is its gRPC status.

    `picture` is what the receiver saw, uint8 (height, width, 3); `activation` is the activation map, uint8
    (rows, columns), one value per token. Both are None unless asked for. `snr_db` is that of the channel's conditions,
    None where no noise was added; `measured_snr_db` is what the receiver measured. `schemes` tells how each layer was
    sent (`qpsk 1/2`), the first segments first. `symbol_budget` is None where there was none, `adapted` where nothing
    was adapted. `rounds` counts the first one too; `symbols` those of all rounds, `retransmitted_symbols` of the later.
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
    guessed: int = 0
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
    activation: np.ndarray | None = field(default=None, repr=False)

    @property
    def tau(self) -> float | None:
        """Share of the tokens whose features were sent too; None where nothing was."""
        return self.kept / self.tokens if self.tokens else None

    @classmethod
    def failed(cls, item_id: str, source: str, failure: link_pb2.Failure) -> Delivery:
        """The delivery of a panorama that was not delivered, where nothing else is known."""
        return cls(id=item_id, source=source, delivered=False, error=failure.message, code=_code(failure))

    @classmethod
    def from_wire(cls, header: transmitter_pb2.DeliveryHeader, picture: bytes, activation: bytes) -> Delivery:
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
            guessed=header.guessed_tokens,
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
            picture=decode_png(picture, "RGB") if picture else None,
            activation=decode_png(activation, "L") if activation else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """All but the pictures, ready for `json.dumps`."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del values["picture"], values["activation"]
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
    """A panorama as a receiver shows it: its PNG file, and what is known of it. `array` decodes the file."""

    number: int
    burst_id: str
    source: str
    width: int
    height: int
    fingerprint: str
    snr_db: float | None
    segments: Segments
    guessed: int
    dropped: int
    rounds: int
    png: bytes = field(repr=False)

    @classmethod
    def from_wire(cls, header: receiver_pb2.ReceivedPanoramaHeader, png: bytes) -> ReceivedPanorama:
        return cls(
            number=header.number,
            burst_id=header.burst_id,
            source=header.source,
            width=header.width,
            height=header.height,
            fingerprint=header.model_fingerprint,
            snr_db=header.snr_db if header.HasField("snr_db") else None,
            segments=Segments.from_wire(header.segments),
            guessed=header.guessed_tokens,
            dropped=header.dropped,
            rounds=header.rounds,
            png=png,
        )

    @property
    def array(self) -> np.ndarray:
        """The picture, uint8 (height, width, 3)."""
        return decode_png(self.png, "RGB")


@dataclass(frozen=True, kw_only=True)
class ServiceInfo:
    """What a running service tells about itself. Each of `models` has `name`, `fingerprint` and `profile`."""

    service: str
    version: str
    device: str
    models: tuple[Mapping[str, str], ...]
    target: str
    uptime_seconds: float

    @classmethod
    def from_wire(cls, response: node_pb2.DescribeResponse) -> ServiceInfo:
        models = ({"name": m.name, "fingerprint": m.fingerprint, "profile": m.profile} for m in response.models)
        return cls(
            service=response.service,
            version=response.version,
            device=response.device,
            models=tuple(models),
            target=response.target,
            uptime_seconds=response.uptime_seconds,
        )


async def deliveries(messages: AsyncIterable[Any], limits: Limits) -> AsyncIterator[tuple[str, Delivery]]:
    """The deliveries in a stream of messages, each with its panorama's id."""

    def admit(header: transmitter_pb2.DeliveryHeader) -> Mapping[str, int]:
        check_limit(header.picture_bytes, picture_limit(limits), "bytes in a picture")
        check_limit(header.activation_bytes, picture_limit(limits), "bytes in an activation map")
        return {"activation": header.activation_bytes, "picture": header.picture_bytes}

    async for frame in frames(messages, admit):
        header: transmitter_pb2.DeliveryHeader = frame.header
        if frame.error:
            yield (
                header.panorama_id,
                Delivery.failed(header.panorama_id, header.source, failure_of(frame.error)),
            )
        else:
            parts = {name: bytes(part) for name, part in frame.parts.items()}
            yield header.panorama_id, Delivery.from_wire(header, parts["picture"], parts["activation"])


def decode_png(png: bytes, mode: str) -> np.ndarray:
    """A PNG file that a Panolink service sent: uint8 (H, W, 3) for mode `RGB`, (H, W) for `L`."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return np.asarray(image.convert(mode))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise PanolinkError(f"a received picture cannot be read: {error}") from None


def _code(failure: link_pb2.Failure) -> str:
    return code_named(failure.code).name


def _schemes(told: Iterable[transmitter_pb2.LayerScheme]) -> dict[str, tuple[str, ...]]:
    schemes: dict[str, tuple[str, ...]] = {}
    for one in told:
        layer = LAYER_NAMES.get(one.layer, "other")
        schemes[layer] = (*schemes.get(layer, ()), scheme_name(one))
    return schemes


def _adapted(told: transmitter_pb2.Adaptation) -> Adapted:
    return Adapted(
        snr_db=told.snr_db, margin_db=told.margin_db, fading=told.fading, base_layer_margin_db=told.insurance_db
    )
