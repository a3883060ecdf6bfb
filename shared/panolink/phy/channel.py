"""The simulated radio channel: y = h·x + n, flat block fading (numpy only).

h is constant over a coherence block and independent from block to block; E|h|² = 1, so that SNR = Es/N0 holds
on average for symbols of unit mean power. n ~ CN(0, N0): N0 is the variance of the *complex* noise, N0/2 per
real dimension. (Sionna's blocks of the same names need torch and a fixed batch shape for the same three
lines.)
"""

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, sqrt
from typing import NoReturn

import numpy as np

from panolink.errors import SignalError

MAX_COHERENCE_SYMBOLS = 1 << 24


class ChannelModel(StrEnum):
    """What h is: 1 without noise, 1, CN(0, 1), or a fixed path K times as strong as the scattered rest."""

    IDEAL = "ideal"
    AWGN = "awgn"
    RAYLEIGH = "rayleigh"
    RICIAN = "rician"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise SignalError(f"unknown channel model {value!r}; allowed: {', '.join(cls)}")


@dataclass(frozen=True)
class Conditions:
    """The state of a channel.

    Parameters
    ----------
    model : a `ChannelModel` or its name.
    snr_db : Es/N0 in dB, −50 … 100. No meaning for `ideal`.
    coherence_symbols : symbols over which h stays the same, ≥ 1.
    rician_k_db : power of the fixed path over that of the scattered ones, in dB, −50 … 100; `rician` only.
    seed : the same seed gives the same channel; None draws one from the system.

    Raises
    ------
    SignalError : any of them out of range.
    """

    model: str = ChannelModel.RAYLEIGH
    snr_db: float = 10.0
    coherence_symbols: int = 256
    rician_k_db: float = 6.0
    seed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", ChannelModel(self.model))
        for name, value in (("snr_db", self.snr_db), ("rician_k_db", self.rician_k_db)):
            if not -50 <= value <= 100:
                raise SignalError(f"{name} is {value} dB; allowed: -50 … 100")
        if not 1 <= self.coherence_symbols <= MAX_COHERENCE_SYMBOLS:
            allowed = f"1 … {MAX_COHERENCE_SYMBOLS}"
            raise SignalError(f"coherence_symbols is {self.coherence_symbols}; allowed: {allowed}")
        if self.seed is not None and self.seed < 0:
            raise SignalError(f"seed is {self.seed}; allowed: 0 and above")

    @property
    def noise_variance(self) -> float:
        """N0, the variance of the complex noise."""
        return 0.0 if self.model == ChannelModel.IDEAL else 10 ** (-self.snr_db / 10)


@dataclass(frozen=True)
class Reception:
    """What arrives, with perfect knowledge of the channel.

    symbols : y, complex64 (n,).
    csi : h of each coherence block, complex64 (⌈n / coherence_symbols⌉,).
    noise_variance : N0 of the complex noise, ≥ 0.
    """

    symbols: np.ndarray
    csi: np.ndarray
    coherence_symbols: int
    noise_variance: float


class Channel:
    """A channel in use: draws new fading and noise for every burst.

    One per stream. With a seed in its conditions the n-th burst of a stream always meets the same channel,
    whatever other streams do. Not for use by several threads at once.
    """

    def __init__(self, conditions: Conditions, *, rng: np.random.Generator | None = None) -> None:
        self.conditions = conditions
        self._rng = np.random.default_rng(conditions.seed) if rng is None else rng

    def apply(self, symbols: np.ndarray) -> Reception:
        """Send symbols complex64 (n,) through the channel. SignalError if they are not finite numbers."""
        symbols = finite_complex(symbols, "symbols")
        conditions, n = self.conditions, symbols.size
        coherence, n0 = conditions.coherence_symbols, conditions.noise_variance
        csi = self._gains(-(-n // coherence))
        if conditions.model == ChannelModel.IDEAL:
            return Reception(symbols.copy(), csi, coherence, n0)
        received = np.repeat(csi, coherence)[:n] * symbols + np.float32(sqrt(n0)) * self._complex_normal(n)
        return Reception(received, csi, coherence, n0)

    def _gains(self, blocks: int) -> np.ndarray:
        if self.conditions.model == ChannelModel.RAYLEIGH:
            return self._complex_normal(blocks)
        if self.conditions.model == ChannelModel.RICIAN:
            k = 10 ** (self.conditions.rician_k_db / 10)
            fixed, scattered = sqrt(k / (k + 1)), sqrt(1 / (k + 1))
            return np.float32(fixed) + np.float32(scattered) * self._complex_normal(blocks)
        return np.ones(blocks, np.complex64)

    def _complex_normal(self, n: int) -> np.ndarray:
        """CN(0, 1): variance 1, half of it in each dimension. complex64 (n,)."""
        pairs = self._rng.standard_normal(2 * n, np.float32)
        return pairs.view(np.complex64) * np.float32(sqrt(0.5))


def finite_complex(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as contiguous complex64 (n,); SignalError if they are no row of finite numbers."""
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "fciu":
        got = f"{values.dtype} of shape {values.shape}"
        raise SignalError(f"{name}: expected a row of complex numbers, got {got}")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, np.complex64)
    # The sum of squares is finite when every part is; only when it is not is a search worth its time.
    if not isfinite(np.vdot(values, values).real):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise SignalError(f"{name}: {bad.size} of {values.size} are not finite, the first at {bad[0]}")
    return values
