"""The channel models, listed once: name, description, the conditions that apply, and how h is generated.

Choices of the command line, settings of the service, the wire's numbers and messages follow from this list. Standard
library only, so that a command line can offer the choices without loading numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from math import inf
from typing import NoReturn

from panolink.errors import SignalError


class FadingProcess(Enum):
    """How the coefficients h come about; `panolink.phy.channel.fading` has a class for each."""

    BLOCK = auto()
    """a new coefficient for each coherence block, independent of the last one"""
    CLARKE = auto()
    """one tap that moves with the Doppler spectrum of Clarke's model"""
    TAPPED_DELAY_LINE = auto()
    """several such taps, as the subcarriers of OFDM see them"""


@dataclass(frozen=True)
class _Traits:
    description: str
    process: FadingProcess
    settings: tuple[str, ...] = ()
    k_db: float | None = None
    noiseless: bool = False


_TDL = _Traits(
    "a tapped delay line of 3GPP TR 38.901 §7.7.2 under OFDM, whose taps move as those of jakes",
    FadingProcess.TAPPED_DELAY_LINE,
    ("doppler_hz", "delay_spread_s", "subcarriers"),
)


class ChannelModel(StrEnum):
    """What h is in y = h·x + n; E|h|² = 1.

    Raises
    ------
    SignalError
        An unknown name; the message lists all.
    """

    IDEAL = "ideal", _Traits("1, and no noise", FadingProcess.BLOCK, k_db=inf, noiseless=True)
    AWGN = "awgn", _Traits("1", FadingProcess.BLOCK, k_db=inf)
    RAYLEIGH = "rayleigh", _Traits("CN(0, 1), independent from block to block", FadingProcess.BLOCK, k_db=-inf)
    RICIAN = (
        "rician",
        _Traits(
            "a direct path K times as strong as the scattered rest, independent from block to block",
            FadingProcess.BLOCK,
            ("rician_k_db",),
        ),
    )
    JAKES = (
        "jakes",
        _Traits(
            "CN(0, 1) with the autocorrelation J₀(2π·f_d·τ) in time (Clarke's model)",
            FadingProcess.CLARKE,
            ("doppler_hz",),
        ),
    )
    TDL_A = "tdl-a", _TDL
    TDL_B = "tdl-b", _TDL
    TDL_C = "tdl-c", _TDL
    TDL_D = "tdl-d", _TDL
    TDL_E = "tdl-e", _TDL

    def __new__(cls, name: str, traits: _Traits) -> ChannelModel:
        """A member is its name, with the traits beside it."""
        member = str.__new__(cls, name)
        member._value_ = name
        member._traits = traits
        return member

    _traits: _Traits

    @property
    def description(self) -> str:
        """What h is, in a line."""
        return self._traits.description

    @property
    def process(self) -> FadingProcess:
        """How h is generated."""
        return self._traits.process

    @property
    def settings(self) -> tuple[str, ...]:
        """Fields of `Conditions` that have a meaning for this model, but not for all models."""
        return self._traits.settings

    @property
    def k_db(self) -> float | None:
        """Of block fading, the direct path's power over that of the scattered ones in dB: ∞ for no fading, −∞ for no
        direct path, None for `Conditions.rician_k_db`."""
        return self._traits.k_db

    @property
    def noiseless(self) -> bool:
        """Whether N0 is 0, whatever the SNR says."""
        return self._traits.noiseless

    @property
    def is_tapped_delay_line(self) -> bool:
        """Whether h differs from subcarrier to subcarrier."""
        return self.process is FadingProcess.TAPPED_DELAY_LINE

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise SignalError(f"unknown channel model {str(value)[:60]!r}; allowed: {', '.join(cls)}")


MODEL_SETTINGS = tuple(dict.fromkeys(name for model in ChannelModel for name in model.settings))
"""fields of `Conditions` that have a meaning for some models only"""


def models_with(setting: str) -> str:
    """The models for which a setting has a meaning, as help texts name them: "jakes, tdl" for "doppler_hz"."""
    return ", ".join(dict.fromkeys(model.partition("-")[0] for model in ChannelModel if setting in model.settings))
