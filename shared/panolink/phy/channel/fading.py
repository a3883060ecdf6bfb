"""Fading processes: the channel coefficients h of a burst (numpy only).

Independent block fading, Clarke's model, and the tapped delay lines of TR 38.901 §7.7.2; E|h|² = 1 for all.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import acos, ceil, inf, pi, sqrt
from typing import NamedTuple, Protocol, Self

import numpy as np

from panolink.phy.channel.channel_models import ChannelModel, FadingProcess
from panolink.phy.channel.conditions import Conditions
from panolink.phy.shapes import Csi, Symbols

# h is sampled so that over one sample a Doppler period or the RMS delay turns it by a 32nd of a turn at most.
_SAMPLES_PER_TURN = 32
_SINUSOIDS = 64
_RUN = 1 << 15  # OFDM symbols of which all taps are kept at once
_CYCLIC_PREFIX = 144 / 2048  # of an OFDM symbol, NR's normal one (TS 38.211 §5.3.1)
_LOS_ANGLE = acos(0.7)  # TR 38.901 §7.7.2: the direct path's Doppler shift is 0.7·f_d


class Fading(Protocol):
    """A fading process."""

    def gains(self, start: float, n: int) -> tuple[Csi, int]:
        """Coefficients of a burst.

        Parameters
        ----------
        start : float
            The time at which the burst begins, in seconds.
        n : int
            Its symbols.

        Returns
        -------
        h of each block, complex64 (⌈n / block⌉,), and the block: for how many symbols each holds.
        """
        ...


def generate_fading(conditions: Conditions, rng: np.random.Generator) -> Fading:
    """The fading process of a channel model.

    Parameters
    ----------
    conditions : Conditions
        The model and its numbers.
    rng : np.random.Generator
        Draws coefficients, or angles and phases.
    """
    return _PROCESSES[ChannelModel(conditions.model).process](conditions, rng)


class BlockFading:
    """h = √(K/(K+1)) + √(1/(K+1))·CN(0, 1), independent for each block of `coherence_symbols`.

    K is the model's, or that of the conditions: ∞ (h = 1), 0 (Rayleigh) or between (Rician).
    """

    def __init__(self, conditions: Conditions, rng: np.random.Generator) -> None:
        self._block, self._rng = conditions.coherence_symbols, rng
        k_db = ChannelModel(conditions.model).k_db
        k = 10 ** ((conditions.rician_k_db if k_db is None else k_db) / 10)
        self._direct, self._scattered = (1.0, 0.0) if k == inf else (sqrt(k / (k + 1)), sqrt(1 / (k + 1)))

    def gains(self, start: float, n: int) -> tuple[Csi, int]:
        """See `Fading.gains`."""
        blocks = -(-n // self._block)
        if not self._scattered:
            return np.ones(blocks, np.complex64), self._block
        scattered = np.float32(self._scattered) * complex_normal(self._rng, blocks)
        return np.float32(self._direct) + scattered, self._block


class ClarkeFading:
    """Flat Rayleigh fading of a moving receiver, autocorrelation J₀(2π·f_d·τ): Clarke's model, or Jakes'."""

    def __init__(self, conditions: Conditions, rng: np.random.Generator) -> None:
        self._rate = conditions.symbol_rate_hz
        self._block = conditions.coherence_symbols
        if conditions.doppler_hz > 0:
            turn = self._rate / conditions.doppler_hz
            self._block = max(1, min(self._block, int(turn / _SAMPLES_PER_TURN)))
        self._scattered = SumOfSinusoids.random(rng, np.ones(1), conditions.doppler_hz)

    def gains(self, start: float, n: int) -> tuple[Csi, int]:
        """See `Fading.gains`; h is sampled in the middle of each block."""
        step = self._block / self._rate
        return self._scattered.at(start + step / 2, step, -(-n // self._block))[0], self._block


class TappedDelayLine:
    """The tapped delay lines of TR 38.901 §7.7.2 as OFDM sees them.

    An OFDM symbol carries `subcarriers` symbols of the burst side by side, from the lowest frequency to the highest;
    the next OFDM symbol carries the next ones. Its cyclic prefix is taken as long enough for every delay and the
    channel as standing still while it lasts, so each symbol meets one coefficient, the channel's frequency
    response at its subcarrier: H(t, f) = Σ_l a_l(t)·exp(−j2πf·τ_l). Neighbouring subcarriers share one as far as
    the delay spread allows and their number can be divided.

    The direct path of TDL-D and -E is the first tap's, as in Sionna's `TDL`.
    """

    def __init__(self, conditions: Conditions, rng: np.random.Generator) -> None:
        profile = delay_profile(ChannelModel(conditions.model))
        self._subcarriers = conditions.subcarriers
        self._symbol_seconds = conditions.subcarriers / conditions.symbol_rate_hz
        spacing = (1 + _CYCLIC_PREFIX) / self._symbol_seconds
        most = min(conditions.coherence_symbols, self._subcarriers)
        if conditions.delay_spread_s > 0:
            most = min(most, int(1 / (_SAMPLES_PER_TURN * spacing * conditions.delay_spread_s)))
        self._block = max(b for b in range(1, max(1, most) + 1) if self._subcarriers % b == 0)
        places = np.arange(self._subcarriers // self._block) * self._block + (self._block - 1) / 2
        frequencies = spacing * (places - (self._subcarriers - 1) / 2)
        delays = profile.delays * conditions.delay_spread_s
        self._response = np.exp(-2j * pi * delays[:, None] * frequencies).astype(np.complex64)
        self._scattered = SumOfSinusoids.random(rng, profile.powers, conditions.doppler_hz)
        self._direct = sqrt(profile.direct_power)
        self._direct_turns = conditions.doppler_hz * np.cos(_LOS_ANGLE)
        self._direct_phase = rng.uniform(-pi, pi)

    def gains(self, start: float, n: int) -> tuple[Csi, int]:
        """See `Fading.gains`."""
        count = -(-n // self._subcarriers)
        h = np.empty((count, self._subcarriers // self._block), np.complex64)
        for first in range(0, count, _RUN):
            run = h[first : first + _RUN]
            np.matmul(self._taps(start + first * self._symbol_seconds, len(run)).T, self._response, out=run)
        return h.ravel()[: -(-n // self._block)], self._block

    def _taps(self, start: float, count: int) -> np.ndarray:
        """Each tap in the middle of so many OFDM symbols, complex64 (taps, count)."""
        step = self._symbol_seconds
        taps = self._scattered.at(start + step / 2, step, count)
        if self._direct:
            times = start + step / 2 + step * np.arange(count)
            phase = 2 * pi * self._direct_turns * times + self._direct_phase
            taps[0] += (self._direct * np.exp(1j * phase)).astype(np.complex64)
        return taps


@dataclass(frozen=True)
class SumOfSinusoids:
    """Scattered taps as sums of sinusoids: Xiao, Zheng, Beaulieu 2006, eqs. 6 and 7, as in Sionna's `TDL`.

    Sionna draws angles and phases anew at each call; here they are kept, so that fading goes on from burst to burst.

    Parameters
    ----------
    amplitudes : np.ndarray
        Of each tap, float32 (taps,).
    turns : np.ndarray
        Doppler shift f_d·cos α of each sinusoid in Hz, float64 (taps, sinusoids).
    phases : np.ndarray
        Radians, float64 (taps, sinusoids).
    """

    amplitudes: np.ndarray
    turns: np.ndarray
    phases: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, powers: np.ndarray, doppler_hz: float, m: int = _SINUSOIDS) -> Self:
        """Taps with random angles of arrival, one in each m-th of the circle, and random phases.

        Parameters
        ----------
        rng : np.random.Generator
            Draws angles and phases.
        powers : np.ndarray
            Of each tap, float64 (taps,).
        doppler_hz : float
            Maximum Doppler shift f_d, ≥ 0.
        m : int
            Sinusoids of each tap.
        """
        shape = (powers.size, m)
        angles = 2 * pi / m * np.arange(1, m + 1) + rng.uniform(-pi / m, pi / m, shape)
        amplitudes = np.sqrt(powers / m).astype(np.float32)
        return cls(amplitudes, doppler_hz * np.cos(angles), rng.uniform(-pi, pi, shape))

    def at(self, start: float, step: float, count: int) -> np.ndarray:
        """The taps at times start, start + step, … in seconds.

        Returns
        -------
        complex64 (taps, count).

        Notes
        -----
        exp(j2πν(a + b)) = exp(j2πνa)·exp(j2πνb): with times in rows and columns the sum over sinusoids is a product
        of matrices, and only about √count exponentials of each are needed.
        """
        columns = max(1, ceil(sqrt(count)))
        rows = -(-count // columns)
        coarse = start + step * columns * np.arange(rows)
        fine = step * np.arange(columns)
        turns = self.turns[:, None, :] * coarse[:, None]  # (taps, rows, sinusoids)
        phases = 2 * pi * (turns - np.floor(turns)) + self.phases[:, None, :]
        left = np.exp(1j * phases).astype(np.complex64)
        right = np.exp(2j * pi * self.turns[:, :, None] * fine).astype(np.complex64)  # (taps, sinusoids, columns)
        sums = (left @ right).reshape(self.amplitudes.size, -1)[:, :count]
        return self.amplitudes[:, None] * sums


_PROCESSES: dict[FadingProcess, Callable[[Conditions, np.random.Generator], Fading]] = {
    FadingProcess.BLOCK: BlockFading,
    FadingProcess.CLARKE: ClarkeFading,
    FadingProcess.TAPPED_DELAY_LINE: TappedDelayLine,
}


class DelayProfile(NamedTuple):
    """Taps of a power delay profile; all powers together are 1.

    Parameters
    ----------
    delays : np.ndarray
        In RMS delay spreads, float64 (taps,).
    powers : np.ndarray
        Of the scattered part of each tap, float64 (taps,).
    direct_power : float
        Of the direct path, which belongs to the first tap; 0 where there is none.
    """

    delays: np.ndarray
    powers: np.ndarray
    direct_power: float


@lru_cache
def delay_profile(model: ChannelModel) -> DelayProfile:
    """The profile of one of the models TDL-A to TDL-E (TR 38.901 tables 7.7.2-1 to 7.7.2-5)."""
    table = json.loads(files("panolink.phy.channel").joinpath("tdl_profiles.json").read_text())[model.value]
    powers = 10 ** (np.array(table["powers_db"]) / 10)
    powers /= powers.sum()
    delays = np.array(table["delays"])
    if table["direct_path"]:  # the first two lines are the first tap's direct and scattered part
        return DelayProfile(delays[1:], powers[1:], float(powers[0]))
    return DelayProfile(delays, powers, 0.0)


def complex_normal(rng: np.random.Generator, n: int) -> Symbols:
    """n samples of CN(0, 1), complex64 (n,): variance 1, half of it in each dimension."""
    pairs = rng.standard_normal(2 * n, np.float32)
    return pairs.view(np.complex64) * np.float32(sqrt(0.5))
