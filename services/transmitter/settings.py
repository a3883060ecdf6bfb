"""What the transmitter can be told: `PANOLINK_TRANSMITTER_…`."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from panolink.rpc.settings import Address, MetricsAddress, Names, ServiceSettings, Target


class TransmitterSettings(ServiceSettings):
    """Settings of the transmitter."""

    model_config = SettingsConfigDict(env_prefix="PANOLINK_TRANSMITTER_")

    listen: Address = "127.0.0.1:50051"
    metrics_listen: MetricsAddress = "127.0.0.1:9101"
    target: Target = "127.0.0.1:50052"
    """The next hop: a channel or a receiver."""
    receipt_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """How long the link may take for a burst."""
    models: Names = ("base",)
    """Models to hold, the first is the default: names of shipped ones or paths of .safetensors files."""
    device: str = "auto"
    """Where they run: `auto`, `cpu`, `cuda`, `cuda:1` …"""
    workers: Annotated[int, Field(ge=1, le=256)] = os.cpu_count() or 1
    """Threads for everything but the networks."""
    max_batch: Annotated[int, Field(ge=1, le=256)] | None = None
    """Panoramas that run through the network together; unset: 8 on a GPU, 1 on a CPU, which gains nothing by more."""
    batch_wait_seconds: Annotated[float, Field(ge=0, le=10)] = 0.005
    """How long the first of a batch waits for others."""
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Panoramas that wait for the network over all streams; one more holds its stream back."""
    sample_format: Literal["cf32_le", "ci16_le"] = "cf32_le"
    """How I/Q samples are stored on the wire: 8 or 4 bytes a symbol."""
