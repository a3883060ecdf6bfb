"""Settings of the viewer, `PANOLINK_VIEWER_…`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, DirectoryPath, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from panolink.rpc.server.settings import Address, AddressOrOff, CommonSettings, MetricsAddress, Target, separated

HostNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(separated)]
"""Comma-separated names; none is allowed too."""


class ViewerSettings(CommonSettings):
    """Settings of the viewer."""

    model_config = SettingsConfigDict(env_prefix="PANOLINK_VIEWER_")

    listen: Address = "127.0.0.1:8360"
    """Address of the web page."""
    metrics_listen: MetricsAddress = "127.0.0.1:9104"
    transmitter: Target = "127.0.0.1:50051"
    """Transmitter that panoramas are sent to."""
    channel: AddressOrOff = "127.0.0.1:50052"
    """Channel whose conditions are shown and changed; `off`: a link without one."""
    receiver: Address = "127.0.0.1:50053"
    """Receiver that is watched."""
    hosts: HostNames = ()
    """Comma-separated names under which browsers reach the page, besides `localhost` and IP addresses."""
    samples: DirectoryPath | None = None
    """Folder of the panoramas that the page offers; unset: those in the package."""
    max_browsers: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Maximum number of browsers, and no more than three quarters of MAX_CONNECTIONS; further ones are refused."""
    max_upload_bytes: Annotated[int, Field(ge=1024, le=1 << 32)] = 64 << 20
    """Maximum size of an uploaded picture or video in bytes."""
    decode_seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """How long a picture of an upload may take to decode; a process that takes longer is killed, and the upload
    refused."""
    decode_memory_bytes: Annotated[int, Field(ge=64 << 20)] = 1 << 30
    """Memory that decoding an upload may take."""
    max_width: Annotated[int, Field(ge=64, le=16384)] = 4096
    """Maximum width in pixels of pictures sent to browsers; larger ones are reduced."""
    picture_quality: Annotated[int, Field(ge=1, le=100)] = 90
    """JPEG quality of pictures sent to browsers."""
    send_timeout_seconds: Annotated[float, Field(gt=0, le=20)] = 15.0
    """Time that a browser may take for one message; a slower one is disconnected. Pings, which stand behind it, and the
    page itself wait no longer than 20 s."""
    supervised: bool = False
    """Whether whoever started this process restarts a receiver when asked to on standard output (`panolink up`)."""

    @property
    def browsers(self) -> int:
        """How many may look at a time: their pages need connections beside those that stay open."""
        return min(self.max_browsers, max(1, 3 * self.max_connections // 4))
