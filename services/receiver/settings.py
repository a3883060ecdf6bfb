"""Settings of the receiver, `PANOLINK_RECEIVER_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from panolink.codec.realism import checked_realism, realism_of
from panolink.errors import ModelError
from panolink.rpc.server.settings import Address, MetricsAddress, NetworkSettings

PREFIX = "PANOLINK_RECEIVER_"


class ReceiverSettings(NetworkSettings):
    """Settings of the receiver."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    listen: Address = "127.0.0.1:50053"
    metrics_listen: MetricsAddress = "127.0.0.1:9103"
    decoder: str = ""
    """How pictures are made of tokens: `fidelity` (least squared error), `perceptual` (sharper looks), or a file of a
    decoder. Every model that is held has to have one. Unset: as REALISM says, or `fidelity`."""
    realism: Annotated[float, AfterValidator(checked_realism)] | None = None
    """In place of DECODER: 0 (fidelity) to 1 (perceptual), or a decoder whose weights lie in between. With a file as
    DECODER: from the model's own decoder to that of the file."""
    watch_policy: Literal["block", "newest"] = "newest"
    """A viewer's queue is full: the link waits, or the viewer's oldest panorama is dropped and counted."""
    watch_queue: Annotated[int, Field(ge=1, le=1000)] = 4
    """Panoramas that wait for one viewer."""
    watch_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = 256 << 20
    """Bytes of all panoramas that wait for viewers, of each in each format and by each decoder that one has asked for;
    the oldest are dropped beyond it, or the link waits."""
    harq_bytes: Annotated[int, Field(ge=1 << 16, le=1 << 40)] = 256 << 20
    """Bytes for bursts that wait for another round; the one that has waited longest is shown as it is to make room."""
    harq_wait_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """For how long a burst may wait for another round, whatever its sender says."""
    stream_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = 256 << 20
    """Bytes for what is held of streams; the one that has been quiet for longest makes room, and begins anew."""
    save_folder: Path | None = None
    """Received panoramas are written there, as PNG; nowhere where it is not set."""
    save_limit_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 50)] = 10 << 30
    """Bytes of all saved panoramas; the oldest make room."""

    @model_validator(mode="after")
    def _one_decoder(self) -> Self:
        try:
            realism_of(self.decoder, self.realism)
        except ModelError as error:
            raise ValueError(f"{PREFIX}DECODER and {PREFIX}REALISM: {error}") from None
        return self
