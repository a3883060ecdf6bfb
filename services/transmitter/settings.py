"""Settings of the transmitter, `PANOLINK_TRANSMITTER_…`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from panolink.phy.modem.channel_estimation import check_pilot_spacing
from panolink.rpc.flow_control.limits import MAX_LATER_ROUNDS
from panolink.rpc.server.settings import Address, MetricsAddress, NetworkSettings, Target


def _spacing(value: int) -> int:
    check_pilot_spacing(value)
    return value


class TransmitterSettings(NetworkSettings):
    """Settings of the transmitter."""

    model_config = SettingsConfigDict(env_prefix="PANOLINK_TRANSMITTER_")

    listen: Address = "127.0.0.1:50051"
    metrics_listen: MetricsAddress = "127.0.0.1:9101"
    target: Target = "127.0.0.1:50052"
    """The next hop: a channel or a receiver."""
    receipt_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """How long the link may take for a burst."""
    reconnect_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long bursts wait for a next hop that is away; after that they are lost until it is back."""
    sample_format: Literal["cf32_le", "ci16_le"] = "cf32_le"
    """How I/Q samples are stored on the wire: 8 or 4 bytes a symbol."""
    decode_seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """How long decoding a picture may take; a process that takes longer is killed, and the picture refused."""
    decode_memory_bytes: Annotated[int, Field(ge=64 << 20)] = 1 << 30
    """Memory that decoding a picture may take."""
    stream_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = 256 << 20
    """Bytes for what is held of streams; the one that has been quiet for longest makes room, and begins anew. A stream
    that takes more alone (about 8 bytes per pixel) is sent as whole pictures."""
    quality_share: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Share of the panoramas, of those whose picture comes back, that are compared with what was sent (VPSNR)."""
    pilot_spacing: Annotated[int, AfterValidator(_spacing)] = 0
    """Pilot spacing in symbols, for channel estimation at the receiver; 0: no pilots, perfect CSI."""
    symbols_per_pixel: Annotated[float, Field(gt=0, le=100)] = 0.1
    """What an adaptive panorama may take, pilots included, where its sender gives neither a budget nor a deadline."""
    symbol_rate_hz: Annotated[float, Field(gt=0, le=1e12)] = 1e6
    """Symbols per second of the radio: what makes a budget of symbols out of a deadline."""
    harq: Annotated[int, Field(ge=0, le=MAX_LATER_ROUNDS)] = 0
    """Rounds in which lost segments may be sent again, unless a panorama's sender says otherwise; 0: never."""
    harq_reserve: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of a symbol budget that is kept back for these rounds."""
    analogue: bool = False
    """Whether features are sent as amplitudes, without a code, unless a panorama's sender says otherwise."""
    initial_snr_db: Annotated[float, Field(ge=-20, le=60)] = 0.0
    """Es/N0 in dB that adaptive panoramas count on until receipts tell of the channel."""
    sudden_fade_db: Annotated[float, Field(ge=0, le=60)] = 18.0
    """Fall of the SNR, in dB, that adaptive panoramas' indices are prepared for until experience says otherwise."""
    channel_memory_seconds: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    """After so long without a receipt, adaptive panoramas no longer expect a channel worse than INITIAL_SNR_DB."""
