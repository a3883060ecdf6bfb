"""What the receiver can be told: `PANOLINK_RECEIVER_…`."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from panolink.rpc.settings import Address, MetricsAddress, Names, ServiceSettings


class ReceiverSettings(ServiceSettings):
    """Settings of the receiver."""

    model_config = SettingsConfigDict(env_prefix="PANOLINK_RECEIVER_")

    listen: Address = "127.0.0.1:50053"
    metrics_listen: MetricsAddress = "127.0.0.1:9103"
    models: Names = ("base",)
    """Models to hold: names of shipped ones or paths of .safetensors files, with commas in between."""
    device: str = "auto"
    """Where they run: `auto`, `cpu`, `cuda`, `cuda:1` …"""
    workers: Annotated[int, Field(ge=1, le=256)] = os.cpu_count() or 1
    """Threads for everything but the networks."""
    max_batch: Annotated[int, Field(ge=1, le=256)] | None = None
    """Panoramas that run through the network together; unset: 8 on a GPU, 1 on a CPU, which gains nothing by more."""
    batch_wait_seconds: Annotated[float, Field(ge=0, le=10)] = 0.005
    """How long the first of a batch waits for others."""
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Bursts under way over all streams; one more waits, and its sender with it."""
    watch_policy: Literal["block", "newest"] = "newest"
    """A viewer's queue is full: the link waits, or the viewer's oldest panorama is dropped and counted."""
    watch_queue: Annotated[int, Field(ge=1, le=1000)] = 4
    """Panoramas that wait for one viewer."""
