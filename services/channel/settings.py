"""What the channel can be told: `PANOLINK_CHANNEL_…`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from panolink.phy import Conditions
from panolink.rpc.settings import Address, MetricsAddress, ServiceSettings, Target


class ChannelSettings(ServiceSettings):
    """Settings of the channel; the conditions can be changed while it runs."""

    model_config = SettingsConfigDict(env_prefix="PANOLINK_CHANNEL_")

    listen: Address = "127.0.0.1:50052"
    metrics_listen: MetricsAddress = "127.0.0.1:9102"
    target: Target = "127.0.0.1:50053"
    """The next hop: a receiver, or another channel."""
    receipt_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """How long the next hop may take for a burst."""
    model: Literal["ideal", "awgn", "rayleigh", "rician"] = "rayleigh"
    """Kind of fading."""
    snr_db: Annotated[float, Field(ge=-50, le=100)] = 10.0
    """Mean Es/N0 in dB."""
    coherence_symbols: Annotated[int, Field(ge=1, le=1 << 24)] = 256
    """Symbols over which the fading stays as it is."""
    rician_k_db: Annotated[float, Field(ge=-50, le=100)] = 6.0
    """Power of the direct path over that of the scattered ones, in dB (rician only)."""
    seed: Annotated[int, Field(ge=0, lt=1 << 64)] | None = None
    """Every stream meets the fading and noise of this seed; fresh ones without it."""

    @property
    def conditions(self) -> Conditions:
        """The conditions to begin with."""
        return Conditions(
            model=self.model,
            snr_db=self.snr_db,
            coherence_symbols=self.coherence_symbols,
            rician_k_db=self.rician_k_db,
            seed=self.seed,
        )
