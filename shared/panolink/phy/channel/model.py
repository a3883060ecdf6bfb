"""The simulated radio channel: y = h·x + n (numpy only).

E|h|² = 1, so that SNR = Es/N0 holds on average for symbols of unit mean power. n ~ CN(0, N0): N0 is the variance of
the *complex* noise, N0/2 per real dimension. Where the SNR changes within a burst the noise stays and h carries the
change, as it would in a receiver whose signal gets weaker. (Sionna's blocks for this need torch and a fixed batch
shape, and begin a new fade with each call.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, isfinite, log10, sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from panolink.errors import SignalError
from panolink.phy.channel.channel_models import MODEL_SETTINGS, ChannelModel
from panolink.phy.channel.conditions import Conditions
from panolink.phy.channel.erasure import GilbertElliott, packet_numbers
from panolink.phy.channel.fading import Fading, complex_normal, generate_fading
from panolink.phy.mcs import Format
from panolink.phy.shapes import Csi, Symbols

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class Reception:
    """A received burst, with perfect channel state information.

    Parameters
    ----------
    symbols : Symbols
        y, complex64 (n,).
    csi : Csi
        h of each coherence block, complex64 (⌈n / coherence_symbols⌉,); 0 where symbols are erased.
    coherence_symbols : int
        Length of a coherence block in symbols, ≥ 1.
    noise_variance : float
        N0 of the complex noise, ≥ 0.
    fading_symbols : int
        Symbols over which h is constant, a multiple of ``coherence_symbols``, where erasures end between;
        0: ``coherence_symbols``.
    """

    symbols: Symbols
    csi: Csi
    coherence_symbols: int
    noise_variance: float
    fading_symbols: int = 0

    @property
    def snr_db(self) -> float | None:
        """Mean Es/N0 in dB over the burst, fading and erasures not counted; None without noise."""
        return 0.0 + round(-10 * log10(self.noise_variance), 9) if self.noise_variance else None  # no −0.0

    @property
    def erased_symbols(self) -> int:
        """Number of symbols of which nothing arrived."""
        lost = np.flatnonzero(self.csi == 0)
        short = self.csi.size * self.coherence_symbols - self.symbols.size  # of the last block
        return lost.size * self.coherence_symbols - (short if self.csi.size - 1 in lost[-1:] else 0)


_FADING_FIELDS = ("model", "coherence_symbols", *MODEL_SETTINGS)


class Channel:
    """A simulated channel: its time goes on with every burst, and so do fading, noise and erasures.

    One per stream. With a seed in its conditions the n-th burst of a stream always meets the same channel,
    whatever other streams do; with the wall clock, only its noise and block fading. Not for use by several threads at
    once.

    Parameters
    ----------
    conditions : Conditions
        The model, its numbers, their schedule, and the seed of fading, noise and erasures.
    """

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._rng = np.random.default_rng(conditions.seed)
        self._erasure_rng = self._rng.spawn(1)[0]  # so that erasures leave the fading as it is
        self._fading: dict[tuple[object, ...], Fading] = {}
        self._erasures: dict[tuple[float, float], GilbertElliott] = {}
        self._time = 0.0

    @property
    def seconds(self) -> float:
        """The channel's time: when the last burst ended."""
        return self._time

    def apply(
        self,
        symbols: Symbols,
        *,
        at: float | None = None,
        formats: Sequence[Format] | None = None,
        pilot_spacing: int = 0,
    ) -> Reception:
        """Send a burst through the channel.

        Parameters
        ----------
        symbols : Symbols
            complex64 (n,).
        at : float | None
            Seconds at which the burst begins, but not before the last one has ended; None: right after it.
        formats, pilot_spacing
            Its segments and pilots; needed where segments may be erased
            (`Conditions.erases_segments`).

        Returns
        -------
        The received symbols with the coefficients and N0 that they met.

        Raises
        ------
        SignalError
            Symbols that are not finite numbers, or formats that make another number of them. The burst
            counts as never sent.
        """
        symbols = finite_complex(symbols, "symbols")
        n, start = symbols.size, self._time if at is None else max(at, self._time)
        base, schedule = self.conditions, self.conditions.schedule
        now = schedule.conditions(base, start) if schedule else base
        packets = packet_numbers(now, n, formats, pilot_spacing) if now.erasure_rate else None
        self._time = start + n / base.symbol_rate_hz

        csi, block = self._fading_for(now).gains(start, n)
        n0 = now.noise_variance
        if schedule and n0 and n:
            edges = np.minimum(np.arange(csi.size + 1) * block, n)  # of blocks: the last one ends with the burst
            middles = start + (edges[:-1] + edges[1:]) / 2 / base.symbol_rate_hz
            powers = 10 ** (schedule.snr_db(base, middles) / 10)
            n0 = float(1 / np.average(powers, weights=np.diff(edges)))
            csi = csi * np.sqrt(powers * n0).astype(np.float32)
        received = symbols.copy()
        if not ChannelModel(now.model).noiseless:
            received[:] = expand_gains(csi, block, n) * symbols + np.float32(sqrt(n0)) * complex_normal(self._rng, n)
        reception = Reception(received, csi, block, n0)
        return reception if packets is None else self._erased(reception, packets, now)

    def _fading_for(self, conditions: Conditions) -> Fading:
        """The fading of these conditions, which goes on where it was when a schedule comes back to it."""
        key = tuple(getattr(conditions, name) for name in _FADING_FIELDS)
        if key not in self._fading:
            self._fading[key] = generate_fading(conditions, self._rng)
        return self._fading[key]

    def _erased(self, reception: Reception, packets: np.ndarray, conditions: Conditions) -> Reception:
        """`reception` without what was in lost packets: y = 0 and h = 0."""
        key = conditions.erasure_rate, conditions.erasure_burst
        if key not in self._erasures:
            self._erasures[key] = GilbertElliott(*key, self._erasure_rng)
        lost = np.append(self._erasures[key].lost(int(packets.max(initial=-1)) + 1), False)[packets]  # −1 is not
        if not lost.any():
            return reception
        # Coefficients as fine as the borders between packets ask for.
        before = min(reception.coherence_symbols, lost.size)
        block = gcd(before, conditions.packet_symbols) if conditions.packet_symbols else 1
        csi = np.repeat(reception.csi, before // block)[: -(-lost.size // block)]
        csi[lost[::block]] = 0
        reception.symbols[lost] = 0
        return Reception(reception.symbols, csi, block, reception.noise_variance, before)


def expand_gains(csi: NDArray[_Scalar], block: int, n: int) -> NDArray[_Scalar]:
    """Repeat what holds for each block of `block` symbols, (⌈n / block⌉,), for each of its n symbols, (n,)."""
    return csi if block == 1 else np.repeat(csi, min(block, n))[:n]


def finite_complex(values: np.ndarray, name: str) -> Symbols:
    """Check complex numbers and make them contiguous complex64.

    Parameters
    ----------
    values : np.ndarray
        Numbers (n,) of any type.
    name : str
        What error messages call them.

    Raises
    ------
    SignalError
        Another shape, no numbers, or some that are not finite.
    """
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "fciu":
        got = f"{values.dtype} of shape {values.shape}"
        raise SignalError(f"{name}: expected a row of complex numbers, got {got}")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, np.complex64)
    # The sum of squares is finite when every part is; only when it is not does a search pay.
    if not isfinite(np.vdot(values, values).real):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise SignalError(f"{name}: {bad.size} of {values.size} are not finite, the first at {bad[0]}")
    return values
