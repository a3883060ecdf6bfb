"""What every service can be told, by environment variables; a bad value stops the service with one line."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from panolink.errors import SettingError
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.security.credentials import INSECURE, Credentials

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\s\[\]/]+):(?P<port>[0-9]{1,5})")


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as host and port; `ValueError` otherwise."""
    match = _ADDRESS.fullmatch(address)
    if not match or int(match["port"]) > 65535:
        raise ValueError("allowed is host:port, such as 127.0.0.1:50051, with a port up to 65535")
    host = match["host"].strip("[]")
    try:
        host.encode("idna")  # as a look-up does
    except UnicodeError:
        raise ValueError("no name of a host: allowed are parts of 1 to 63 letters, digits and - with dots") from None
    return host, int(match["port"])


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
    if value and (scheme not in ("http", "https") or not separator or not _ADDRESS.fullmatch(address.rstrip("/"))):
        raise ValueError("allowed is http://host:port, or https://host:port for TLS")
    return value


def _names(value: Any) -> Any:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


Address = Annotated[str, AfterValidator(_address)]
"""`host:port`; to listen on port 0 is to take any free one."""

Target = Annotated[str, AfterValidator(_target)]
"""`host:port` of a next hop; `host:port,host:port` or `dns:///host:port` to share bursts out among several."""

MetricsAddress = Annotated[str, AfterValidator(_address_or_off)]
"""`host:port`, or `off`."""

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names), Field(min_length=1)]
"""Names, with commas in between."""


class ServiceSettings(BaseSettings):
    """Settings of every service; a service's own class gives the prefix of the variables and adds its own."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        populate_by_name=True,
        arbitrary_types_allowed=True,
    )

    listen: Address
    """Where gRPC is served."""
    metrics_listen: MetricsAddress
    """Where Prometheus reads metrics over HTTP, or `off`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines of this importance and above are written to standard error."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 25.0
    """How long what is under way may take when the service is told to stop."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Connections open at once; one more is closed."""
    max_streams: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Streams open at once; one more is refused."""
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 4
    """Items under way on one stream; one more waits."""
    max_image_bytes: Annotated[int, Field(ge=1024, le=1 << 32)] = Limits.image_bytes
    """Bytes of an image file."""
    max_image_pixels: Annotated[int, Field(ge=2, le=1 << 32)] = Limits.image_pixels
    """Pixels of a panorama."""
    max_burst_symbols: Annotated[int, Field(ge=1, le=1 << 30)] = Limits.symbols
    """Complex symbols of a burst (8 bytes each)."""
    max_bytes_under_way: Annotated[int, Field(ge=1024, le=1 << 40)] = 1 << 30
    """Bytes of images or bursts under way on all streams together; one more item waits."""
    credentials: Credentials = Field(default_factory=Credentials.from_environment)
    """Certificates and token, from `PANOLINK_TLS_…` and `PANOLINK_TOKEN_FILE`: the same for all services."""
    insecure: bool = Field(default=False, validation_alias=INSECURE)
    """Listen in the clear where other hosts can reach it."""

    @property
    def service(self) -> str:
        """`transmitter`, `channel` or `receiver`, as the variables' prefix has it."""
        return self.model_config.get("env_prefix", "").removeprefix("PANOLINK_").strip("_").lower()

    @model_validator(mode="after")
    def _secured(self) -> Self:
        self.credentials.check_server(_variable_name(type(self), "listen"), self.listen, insecure=self.insecure)
        return self

    @property
    def limits(self) -> Limits:
        """What one item may ask for."""
        return Limits(
            image_bytes=self.max_image_bytes,
            image_pixels=self.max_image_pixels,
            symbols=self.max_burst_symbols,
        )


class NetworkSettings(ServiceSettings):
    """Settings of the services that run a model's networks."""

    models: Names = ("base",)
    """Models to hold, the first is the default: names of shipped ones or paths of .safetensors files, with commas."""
    device: str = "auto"
    """Where they run: `auto`, `cpu`, `cuda`, `cuda:1` …"""
    workers: Annotated[int, Field(ge=1, le=256)] = os.cpu_count() or 1
    """Threads for everything but the networks."""
    max_batch: Annotated[int, Field(ge=1, le=256)] | None = None
    """Panoramas that run through the network together; unset: 8 on a GPU, 1 on a CPU, which gains nothing by more."""
    batch_wait_seconds: Annotated[float, Field(ge=0, le=10)] = 0.005
    """How long the first of a batch waits for others."""
    max_pixels_under_way: Annotated[int, Field(ge=2, le=1 << 40)] = 1 << 28
    """Pixels of panoramas that are unpacked at a time; one more panorama waits."""
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Panoramas that wait for the network over all streams; one more waits, and its sender with it."""


class ObservingSettings(BaseSettings):
    """How a process is watched, the same for every service of a host."""

    model_config = SettingsConfigDict(env_prefix="PANOLINK_", extra="forbid", frozen=True, env_ignore_empty=True)

    log_format: Literal["auto", "text", "json"] = "auto"
    """Lines for people, or JSON objects; `auto`: JSON where standard error is not a terminal."""
    otlp_endpoint: Annotated[str, AfterValidator(_endpoint)] = ""
    """Where OpenTelemetry traces go (OTLP over gRPC); nothing is traced without it."""


Settings = TypeVar("Settings", bound=ServiceSettings)
Loaded = TypeVar("Loaded", bound=BaseSettings)


def load_settings(kind: type[Loaded]) -> Loaded:
    """Settings from the environment; for a bad value, one line on standard error and exit status 2."""
    try:
        return kind()  # type: ignore[call-arg]
    except ValidationError as error:
        for problem in error.errors():
            print(_told(kind, problem), file=sys.stderr)
    except SettingError as error:
        print(error, file=sys.stderr)
    raise SystemExit(2)


def _told(kind: type[BaseSettings], problem: Any) -> str:
    """One problem of a settings class, as `VARIABLE=value: what is allowed`."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # of several settings together, and named by the message
        return message
    return f"{_variable_name(kind, str(problem['loc'][0]))}={problem['input']!s}: {message}"


def _variable_name(kind: type[BaseSettings], field: str) -> str:
    """The environment variable of a field; those with a name of their own are the same for all services."""
    return field if field == INSECURE else (kind.model_config.get("env_prefix", "") + field).upper()
