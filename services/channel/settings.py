"""Settings of the channel, `PANOLINK_CHANNEL_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from panolink.phy import ChannelModel, Clock, Conditions, doppler_of_speed
from panolink.phy.channel.scenario_files import load_scenario, load_trace
from panolink.rpc.server.settings import Address, MetricsAddress, ServiceSettings, Target


def _scenario_file(path: Path) -> Path:
    try:
        load_scenario(path)
    except OSError as error:
        raise ValueError(f"allowed is a scenario file: {(error.strerror or str(error)).lower()}") from None
    return path


def _trace_file(path: Path) -> Path:
    try:
        load_trace(path)
    except OSError as error:
        raise ValueError(f"allowed is a CSV file of time_s,snr_db: {(error.strerror or str(error)).lower()}") from None
    return path


class ChannelSettings(ServiceSettings):
    """Settings of the channel; the conditions can be changed while it runs."""

    model_config = SettingsConfigDict(env_prefix="PANOLINK_CHANNEL_")

    listen: Address = "127.0.0.1:50052"
    metrics_listen: MetricsAddress = "127.0.0.1:9102"
    target: Target = "127.0.0.1:50053"
    """The next hop: a receiver, or another channel."""
    receipt_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """How long the next hop may take for a burst."""
    reconnect_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long bursts wait for a next hop that is away; after that they are lost until it is back."""
    model: ChannelModel = ChannelModel.RAYLEIGH
    """Kind of fading."""
    snr_db: Annotated[float, Field(ge=-50, le=100)] = 10.0
    """Mean Es/N0 in dB."""
    coherence_symbols: Annotated[int, Field(ge=1, le=1 << 24)] = 256
    """Symbols over which the fading stays as it is; with jakes and tdl, at most so many."""
    rician_k_db: Annotated[float, Field(ge=-50, le=100)] = 6.0
    """Power of the direct path over that of the scattered ones, in dB (rician only)."""
    seed: Annotated[int, Field(ge=0, lt=1 << 64)] | None = None
    """Seed of fading and noise of every stream; unset: random."""
    doppler_hz: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """Largest Doppler shift (jakes and tdl); unset: that of the speed, or 10 Hz where none is set."""
    speed_kmh: Annotated[float, Field(ge=0, le=1e5)] | None = None
    """Instead of the Doppler shift: how fast the receiver moves."""
    carrier_hz: Annotated[float, Field(gt=0, le=1e12)] = 3.5e9
    """Carrier frequency, for the Doppler shift of the speed."""
    symbol_rate_hz: Annotated[float, Field(ge=1, le=1e12)] = 1e6
    """Symbols per second: how long a burst takes on the air."""
    delay_spread_s: Annotated[float, Field(ge=0, le=1e-3)] = 300e-9
    """RMS delay spread (tdl only)."""
    subcarriers: Annotated[int, Field(ge=1, le=1 << 14)] = 64
    """Symbols side by side in an OFDM symbol (tdl only)."""
    erasure_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the packets that are erased, whatever the model."""
    erasure_burst: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Mean number of packets erased in a row; 0: one does not depend on the other."""
    packet_symbols: Annotated[int, Field(ge=0, le=1 << 24)] = 0
    """Symbols of a packet; 0: each segment is a packet of its own."""
    clock: Clock = Clock.STREAM
    """What the time of fading and schedule is: symbols sent ÷ symbol rate, by stream, or the time of day."""
    scenario: Annotated[Path, AfterValidator(_scenario_file)] | None = None
    """A TOML file of phases that change the conditions as time goes by."""
    trace: Annotated[Path, AfterValidator(_trace_file)] | None = None
    """Instead of a scenario: a CSV file with a recorded SNR."""
    trace_repeat: bool = False
    """Whether the trace begins again at its end; otherwise its last value stays."""

    one_way: bool = False
    """Whether there is no way back: no lost segment can be asked for, and no transmitter learns from receipts."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        prefix = self.model_config.get("env_prefix", "")
        for one, other in (("DOPPLER_HZ", "SPEED_KMH"), ("SCENARIO", "TRACE")):
            if None not in (getattr(self, one.lower()), getattr(self, other.lower())):
                raise ValueError(f"{prefix}{one} and {prefix}{other}: give one of them, not both")
        try:
            _ = self.conditions
        except ValueError as error:
            raise ValueError(f"{prefix}…: {error}") from None
        return self

    @property
    def conditions(self) -> Conditions:
        """Initial conditions."""
        given = {name: getattr(self, name) for name in vars(Conditions()) if name in type(self).model_fields}
        if self.doppler_hz is None:
            given["doppler_hz"] = Conditions.doppler_hz
            if self.speed_kmh is not None:
                given["doppler_hz"] = doppler_of_speed(self.speed_kmh, self.carrier_hz)
        if self.scenario:
            given["schedule"] = load_scenario(self.scenario)
        elif self.trace:
            given["schedule"] = load_trace(self.trace, repeat=self.trace_repeat)
        return Conditions(**given)
