"""Settings common to all services, from environment variables; an invalid value ends the service with one line."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from panolink.errors import SettingError
from panolink.rpc.addresses import ADDRESS, split_address
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.flow_control.picture_budget import PictureBudget, PictureCosts, picture_bytes
from panolink.rpc.observability.device_metrics import usable_cpus, usable_memory
from panolink.rpc.security.credentials import INSECURE, Credentials


def _address(value: str) -> str:
    split_address(value)
    return value


def _address_or_off(value: str) -> str:
    return value if value == "off" else _address(value)


def _target(value: str) -> str:
    for address in [value.removeprefix("dns:///")] if value.startswith("dns:///") else value.split(","):
        split_address(address)
    return value


def _endpoint(value: str) -> str:
    scheme, separator, address = value.partition("://")
    if value and (scheme not in ("http", "https") or not separator or not ADDRESS.fullmatch(address.rstrip("/"))):
        raise ValueError("allowed is http://host:port, or https://host:port for TLS")
    return value


def separated(value: Any) -> Any:
    """The names in a comma-separated list; anything else as it is, for a validator to refuse."""
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


Address = Annotated[str, AfterValidator(_address)]
"""`host:port`; port 0 listens on any free port."""

Target = Annotated[str, AfterValidator(_target)]
"""`host:port` of a next hop; `host:port,host:port` or `dns:///host:port` to balance bursts over several."""

AddressOrOff = Annotated[str, AfterValidator(_address_or_off)]
"""`host:port`, or `off`."""

MetricsAddress = AddressOrOff

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(separated), Field(min_length=1)]
"""Comma-separated names."""


class CommonSettings(BaseSettings):
    """Settings of every service, the viewer too; subclasses set the prefix of the variables and add settings."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        populate_by_name=True,
        arbitrary_types_allowed=True,
    )

    listen: Address
    """Address of the server."""
    metrics_listen: MetricsAddress
    """Address of the HTTP server for Prometheus metrics, or `off`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of log lines."""
    cores_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the CPU cores for networks and kernels, where others need the rest; OMP_NUM_THREADS, where it
    is set, is the number of threads instead."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 25.0
    """Seconds that items in flight may take on shutdown."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Maximum number of connections; further ones are closed."""
    handshake_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Seconds in which a new connection has to complete its TLS and HTTP/2 handshakes."""
    unread_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds that a peer may leave unread what it is sent, before its stream is ended."""
    max_image_bytes: Annotated[int, Field(ge=1024, le=1 << 32)] = Limits.image_bytes
    """Maximum size of an image file in bytes."""
    max_image_pixels: Annotated[int, Field(ge=2, le=1 << 32)] = Limits.image_pixels
    """Maximum size of a panorama in pixels."""
    credentials: Credentials = Field(default_factory=Credentials.from_environment)
    """Certificates and token, from `PANOLINK_TLS_…` and `PANOLINK_TOKEN_FILE`, common to all services."""
    insecure: bool = Field(default=False, validation_alias=INSECURE)
    """Permit plaintext connections from other hosts."""

    @property
    def service(self) -> str:
        """`transmitter`, `channel`, `receiver` or `viewer`, from the prefix of the variables."""
        return self.model_config.get("env_prefix", "").removeprefix("PANOLINK_").strip("_").lower()

    @model_validator(mode="after")
    def _secured(self) -> Self:
        self.credentials.check_server(_variable_name(type(self), "listen"), self.listen, insecure=self.insecure)
        return self

    @property
    def limits(self) -> Limits:
        """Limits of one item."""
        return Limits(image_bytes=self.max_image_bytes, image_pixels=self.max_image_pixels)


class ServiceSettings(CommonSettings):
    """Settings of services that speak gRPC."""

    idle_connection_seconds: Annotated[float, Field(gt=0, le=86_400)] = 1.0
    """Seconds after which a connection without a call is closed; clients open another one when they need it."""
    max_streams: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Maximum number of streams of a kind; one that is not used gives way to a further one, which else is refused."""
    max_streams_per_host: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Maximum number of streams of a kind from one host; unset: MAX_STREAMS."""
    idle_stream_seconds: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    """Seconds after which a stream on which nothing is sent is ended; clients open another one when they need it."""
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 4
    """Maximum number of items in flight on a stream; further ones wait."""
    max_burst_symbols: Annotated[int, Field(ge=1, le=1 << 30)] = Limits.symbols
    """Maximum length of a burst in complex symbols (8 bytes each)."""
    max_bytes_under_way: Annotated[int, Field(ge=1024, le=1 << 40)] = 1 << 30
    """Memory budget in bytes for images or bursts in flight on all streams; items exceeding it wait."""

    @property
    def limits(self) -> Limits:
        """Limits of one item."""
        return replace(super().limits, symbols=self.max_burst_symbols)


class NetworkSettings(ServiceSettings):
    """Settings of services that run neural networks."""

    models: Names = ("base",)
    """Models to load, the first is the default: comma-separated names of shipped models or .safetensors files."""
    device: str = "auto"
    """Device of the networks: `auto`, `cpu`, `cuda`, `cuda:1` …"""
    band_pixels: Annotated[int, Field(ge=1 << 14, le=1 << 32)] | None = None
    """Panoramas of more pixels run through the networks in bands of rows of about so many, with the same result. Unset:
    524288 on a CPU (262144 where it has no bfloat16), none on a GPU."""
    workers: Annotated[int, Field(ge=1, le=256)] = math.ceil(usable_cpus())
    """Number of worker threads for everything but the networks."""
    max_batch: Annotated[int, Field(ge=1, le=256)] | None = None
    """Maximum batch size of the networks; unset: 8 on a GPU, 1 on a CPU, which does not benefit from batching."""
    batch_wait_seconds: Annotated[float, Field(ge=0, le=10)] = 0.005
    """Seconds that the first item of a batch waits for others."""
    max_pixels_under_way: Annotated[int, Field(ge=2, le=1 << 40)] = 1 << 28
    """Memory budget in pixels for decoded panoramas; panoramas exceeding it wait."""
    max_picture_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 44)] | None = None
    """Memory budget in bytes for all work on panoramas, at its peak; panoramas exceeding it wait, and one that exceeds
    it alone is refused. Unset: what the memory of the container leaves beside MAX_BYTES_UNDER_WAY, STREAM_BYTES, 768
    MiB, 48 MiB for each of a transmitter's WORKERS, and a receiver's HARQ_BYTES
    and WATCH_BYTES."""
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Capacity in panoramas of the queue for the network; further ones block, applying back-pressure."""

    def picture_budget(self, costs: PictureCosts, *, beside: int) -> PictureBudget:
        """Budget for panoramas in work that take so much memory at their peak, beside other bytes of the service."""
        other = self.max_bytes_under_way + beside
        size = picture_bytes(self.max_picture_bytes, limit=int(usable_memory()), other_bytes=other)
        return PictureBudget(size, costs=costs, pixels=self.max_pixels_under_way)


class ObservingSettings(BaseSettings):
    """Logging and tracing of a process, common to all services of a host."""

    model_config = SettingsConfigDict(env_prefix="PANOLINK_", extra="forbid", frozen=True, env_ignore_empty=True)

    log_format: Literal["auto", "text", "json"] = "auto"
    """Text lines or JSON objects; `auto`: JSON unless standard error is a terminal."""
    otlp_endpoint: Annotated[str, AfterValidator(_endpoint)] = ""
    """OTLP collector (gRPC) for OpenTelemetry traces; empty: tracing is disabled."""


Settings = TypeVar("Settings", bound=CommonSettings)
Loaded = TypeVar("Loaded", bound=BaseSettings)


def load_settings(kind: type[Loaded]) -> Loaded:
    """Load settings from the environment; exits with status 2 and a line per invalid value on standard error."""
    try:
        return kind()  # type: ignore[call-arg]
    except ValidationError as error:
        for problem in error.errors():
            print(_problem_text(kind, problem), file=sys.stderr)
    except SettingError as error:
        print(error, file=sys.stderr)
    raise SystemExit(2)


def variable_names(kind: type[BaseSettings]) -> list[str]:
    """Environment variables that a class of settings reads."""
    return [_variable_name(kind, field) for field in kind.model_fields]


def _problem_text(kind: type[BaseSettings], problem: Any) -> str:
    """Format a validation problem as `VARIABLE=value: what is allowed`."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # concerns several settings, which the message names
        return message
    return f"{_variable_name(kind, str(problem['loc'][0]))}={problem['input']!s}: {message}"


def _variable_name(kind: type[BaseSettings], field: str) -> str:
    """Environment variable of a field; those with a fixed name are common to all services."""
    return field if field == INSECURE else (kind.model_config.get("env_prefix", "") + field).upper()
