"""Conditions of a simulated radio channel: its model and the model's numbers, checked. (Standard library only)"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

from panolink.errors import SignalError
from panolink.phy.channel.channel_models import ChannelModel

if TYPE_CHECKING:
    from panolink.phy.channel.scenario import Scenario, SnrTrace

MAX_COHERENCE_SYMBOLS = 1 << 24
MAX_SUBCARRIERS = 1 << 14
SPEED_OF_LIGHT = 299_792_458.0


class Clock(StrEnum):
    """What a channel's time is.

    Raises
    ------
    SignalError
        An unknown name; the message lists all.
    """

    STREAM = "stream"
    """the duration of the symbols that this stream has sent; the same in every run"""
    WALL = "wall"
    """the time of day, from the moment when the conditions were set; the same for all streams"""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise SignalError(f"unknown clock {value!r}; allowed: {', '.join(cls)}")


@dataclass(frozen=True)
class Conditions:
    """Model and numbers of a channel, at rest or with a schedule.

    Parameters
    ----------
    model : str
        A `ChannelModel` or its name.
    snr_db : float
        Es/N0 in dB, −50 … 100. No meaning for `ideal`.
    coherence_symbols : int
        Symbols over which h is constant, 1 … 2^24. With `jakes` and `tdl-…` an upper limit:
        they take as few as Doppler and delays require.
    rician_k_db : float
        Power of the direct path over that of the scattered ones, in dB, −50 … 100; `rician` only.
    seed : int | None
        ≥ 0; the same seed gives the same channel. None draws one from the system.
    doppler_hz : float
        Maximum Doppler shift f_d in Hz, 0 … 1e6 (0: constant fading); `jakes` and `tdl-…`. The coherence
        time is about 0.42 / f_d. See `doppler_of_speed`.
    symbol_rate_hz : float
        Symbols per second, 1 … 1e12, cyclic prefixes not counted: how long a burst takes.
    delay_spread_s : float
        RMS delay spread in seconds, 0 … 0.001 (TR 38.901 §7.7.3); `tdl-…`.
    subcarriers : int
        Of an OFDM symbol, 1 … 16384; `tdl-…`.
    erasure_rate : float
        Share of the packets that are erased, 0 … 1, whatever the model.
    erasure_burst : float
        Mean number of packets that are erased in a row, up to 1e6; 0: independent erasures.
    packet_symbols : int
        Symbols of a packet, up to 2^24; 0: each segment is a packet of its own.
    clock : str
        A `Clock` or its name.
    schedule : Scenario | SnrTrace | None
        A `Scenario` or an `SnrTrace`: what changes with time. It takes precedence over the numbers here.

    Raises
    ------
    SignalError
        Any of them out of range.
    """

    model: str = ChannelModel.RAYLEIGH
    snr_db: float = 10.0
    coherence_symbols: int = 256
    rician_k_db: float = 6.0
    seed: int | None = None
    doppler_hz: float = 10.0
    symbol_rate_hz: float = 1e6
    delay_spread_s: float = 300e-9
    subcarriers: int = 64
    erasure_rate: float = 0.0
    erasure_burst: float = 0.0
    packet_symbols: int = 0
    clock: str = Clock.STREAM
    schedule: Scenario | SnrTrace | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", ChannelModel(self.model))
        object.__setattr__(self, "clock", Clock(self.clock))
        self._check("snr_db", -50, 100, " dB")
        self._check("rician_k_db", -50, 100, " dB")
        self._check("coherence_symbols", 1, MAX_COHERENCE_SYMBOLS)
        self._check("symbol_rate_hz", 1, 1e12, " Hz")
        self._check("doppler_hz", 0, 1e6, " Hz")
        self._check("delay_spread_s", 0, 1e-3, " s")
        self._check("subcarriers", 1, MAX_SUBCARRIERS)
        self._check("erasure_rate", 0, 1)
        self._check("packet_symbols", 0, MAX_COHERENCE_SYMBOLS)
        if self.seed is not None and self.seed < 0:
            raise SignalError(f"seed is {self.seed}; allowed: 0 and above")
        self._check_speed()
        if self.erasure_burst:
            # As many packets must arrive between two runs as the rate asks for, and at least one does.
            least = max(1.0, self.erasure_rate / (1 - self.erasure_rate)) if self.erasure_rate < 1 else 1.0
            if not least <= self.erasure_burst <= 1e6:
                at = f" at an erasure_rate of {self.erasure_rate:g}" if least > 1 else ""
                raise SignalError(f"erasure_burst is {self.erasure_burst}; allowed{at}: 0, or {least:g} … 1000000")
        if self.schedule is not None:
            self.schedule.check(self)

    @property
    def noise_variance(self) -> float:
        """N0, the variance of the complex noise, for symbols of unit mean power; 0 for `ideal`."""
        return 0.0 if ChannelModel(self.model).noiseless else 10 ** (-self.snr_db / 10)

    @property
    def erases_segments(self) -> bool:
        """Whether segments may be erased as packets, now or at any time of the schedule."""
        phases = self.schedule.variants(self) if self.schedule else [self]
        return any(phase.erasure_rate > 0 and not phase.packet_symbols for phase in phases)

    @property
    def notes(self) -> tuple[str, ...]:
        """What of these conditions has no effect, one line each: a schedule of the SNR where there is no noise."""
        if self.schedule is None or not all(ChannelModel(one.model).noiseless for one in self.schedule.variants(self)):
            return ()
        if self.schedule.changes_only_snr:
            return (f"the schedule changes nothing: the model {self.model} has no noise, awgn and the others have",)
        return ()

    def in_force(self, seconds: float) -> Conditions:
        """What the schedule makes of these conditions at a time of the channel, without a schedule."""
        if self.schedule is None:
            return self
        import numpy as np  # commands that only name conditions start without it

        snr_db = float(self.schedule.snr_db(self, np.array([seconds], float))[0])
        return replace(self.schedule.conditions(self, seconds), snr_db=snr_db)

    def without_schedule(self, **changes: object) -> Conditions:
        """These conditions without their schedule, and with `changes`, which are checked as those of new ones."""
        return replace(self, schedule=None, **changes)  # type: ignore[arg-type]

    def _check(self, name: str, least: float, most: float, unit: str = "") -> None:
        value = getattr(self, name)
        if not least <= value <= most:  # false for NaN, too
            raise SignalError(f"{name} is {value}{unit}; allowed: {least:.12g} … {most:.12g}")

    def _check_speed(self) -> None:
        """The channel is simulated as constant within an OFDM symbol, without inter-carrier interference."""
        if not ChannelModel(self.model).is_tapped_delay_line:
            return
        fastest = 0.1 * self.symbol_rate_hz / self.subcarriers
        if self.doppler_hz > fastest:
            raise SignalError(
                f"doppler_hz is {self.doppler_hz} Hz; allowed with {self.subcarriers} subcarriers at "
                f"{self.symbol_rate_hz:g} symbols/s: 0 … {fastest:g}, a tenth of the symbols/s of each"
            )


def doppler_of_speed(speed_kmh: float, carrier_hz: float) -> float:
    """Maximum Doppler shift of a receiver that moves, v·f_c/c.

    Parameters
    ----------
    speed_kmh : float
        km/h.
    carrier_hz : float
        Hz.

    Returns
    -------
    float
        Hz.
    """
    return speed_kmh / 3.6 * carrier_hz / SPEED_OF_LIGHT
