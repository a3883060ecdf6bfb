"""Uncoded analog transmission of real values: quality follows the SNR, and there is no cliff. Each value is half of a
symbol, its in-phase or its quadrature part.

    places = select_values(priorities, count=2 * symbols_to_spend)
    mapper = AnalogMapper(scales[places], priorities[places])
    symbols, gain_correction = mapper.modulate(values[places])
    values, errors = mapper.estimate(**vars(channel.apply(symbols)), gain_correction=gain_correction)

That is a burst of its own. As a segment of a burst that has other segments, the values go through `map_values` and
`estimate_values`.

Both ends know the scale of each value, so nothing is sent but the values and one number, `gain_correction`. Power is
proportional to √(weight · variance) of a value (Lee, Petersen 1976; SoftCast, Jakubczak, Katabi 2011): among linear
codes that minimises the weighted squared error at high SNR, and it needs no knowledge of the channel. The receiver's
estimate is the linear MMSE one. (numpy only)
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np

from panolink.errors import SignalError
from panolink.phy.channel.model import expand_gains, finite_complex
from panolink.phy.modem.interleaving import interleaver
from panolink.phy.shapes import Csi, Estimates, Gains, Positions, Priorities, Symbols, Values

QUARTER_OCTAVES = 4
_PRIORITY_RANGE = 200  # quarter octaves between the greatest and the least that count: float32 reaches as far


def select_values(priorities: Priorities, count: int) -> Positions:
    """The values with the highest priorities; of equals the first ones.

    Parameters
    ----------
    priorities : Priorities
        √(weight · variance) of each value in quarter octaves, integers (n,): so all hosts choose the same.
    count : int
        Values to choose, ≥ 0.

    Returns
    -------
    int64 (min(count, n),), positions in ascending order.

    Raises
    ------
    SignalError
        The count is negative.
    """
    if count < 0:
        raise SignalError(f"{count} values to choose; allowed: 0 and above")
    return np.sort(np.argsort(-priorities.astype(np.int64), kind="stable")[:count])


@dataclass(frozen=True)
class AnalogFormat:
    """A segment of uncoded real values, two a symbol.

    Parameters
    ----------
    values : int
        Their number, ≥ 1.

    Raises
    ------
    SignalError
        Less than one value.
    """

    values: int

    def __post_init__(self) -> None:
        if self.values < 1:
            raise SignalError(f"analogue segment of {self.values} values; allowed: 1 and above")

    @property
    def symbols(self) -> int:
        """Channel uses of the segment."""
        return -(-self.values // 2)


@dataclass(frozen=True, eq=False)
class AnalogMapper:
    """Maps real values of known scales to symbols, and estimates them from received ones.

    Parameters
    ----------
    scales : Values
        Standard deviation of each value as both ends know it, > 0, floats (n,).
    priorities : Priorities
        As in `select_values`, integers (n,); power is proportional to 2^(priority / 4).

    Raises
    ------
    SignalError
        Lengths that differ, or scales that are not positive numbers.
    """

    scales: Values
    priorities: Priorities

    def __post_init__(self) -> None:
        if self.scales.ndim != 1 or self.scales.shape != self.priorities.shape:
            raise SignalError(
                f"{self.scales.shape} scales but {self.priorities.shape} priorities; expected two equal rows"
            )
        if not (np.isfinite(self.scales).all() and (self.scales > 0).all()):
            raise SignalError("scales: every one must be a positive, finite number")

    @property
    def symbols(self) -> int:
        """Channel uses: two values each."""
        return -(-self.scales.size // 2)

    @property
    def powers(self) -> Values:
        """Power of each value as sent, float64 (n,).

        Together with a zero that fills up the last symbol their mean is 1/2, so that symbols have unit mean power.
        """
        if not self.scales.size:
            return np.empty(0)
        relative = np.exp2(np.maximum(self.priorities - self.priorities.max(), -_PRIORITY_RANGE) / QUARTER_OCTAVES)
        return self.symbols * relative / relative.sum()

    def modulate(self, values: Values) -> tuple[Symbols, float]:
        """Map values to the symbols of a burst.

        Parameters
        ----------
        values : Values
            Floats (n,), finite.

        Returns
        -------
        complex64 (symbols,) of unit mean power, interleaved; and the gain correction ≥ 0, the mean square of the values
        relative to their scales, a float32 number that has to reach the receiver beside the symbols. 0 where all values
        are 0, and so are the symbols.

        Raises
        ------
        SignalError
            Values that are not finite, or another number of them.
        """
        ordered, gain_correction = self.map_values(values)
        symbols = np.empty_like(ordered)
        symbols[interleaver(ordered.size)] = ordered
        return symbols, gain_correction

    def map_values(self, values: Values, *, gain_correction: float | None = None) -> tuple[Symbols, float]:
        """As `modulate`, in the order of the values.

        Parameters
        ----------
        values : Values
            Floats (n,), finite.
        gain_correction : float | None
            The one that the receiver will use, where it is rounded; the symbols' power is off by as much.
            None: the one that the values give.

        Returns
        -------
        complex64 (symbols,), not interleaved; and the gain correction.

        Raises
        ------
        SignalError
            Values that are not finite, or another number of them.
        """
        values = np.asarray(values, np.float64)
        if values.shape != self.scales.shape or not np.isfinite(values).all():
            raise SignalError(f"values of shape {values.shape}; expected {self.scales.size} finite numbers")
        amplitudes = values * np.sqrt(self.powers) / self.scales
        if gain_correction is None:
            gain_correction = float(np.float32(np.square(amplitudes).sum() / max(self.symbols, 1)))
        pairs = np.zeros(2 * self.symbols, np.float32)
        if gain_correction > 0:
            pairs[: values.size] = amplitudes / np.sqrt(gain_correction)
        return pairs.view(np.complex64), gain_correction

    def estimate(
        self,
        symbols: Symbols,
        *,
        csi: Csi,
        coherence_symbols: int,
        noise_variance: float,
        gain_correction: float,
        fading_symbols: int = 0,
    ) -> tuple[Estimates, Estimates]:
        """Linear MMSE estimates of the values, from a received burst.

        Parameters
        ----------
        symbols : Symbols
            Received y = h·x + n, complex64 (symbols,).
        csi : Csi
            h of each coherence block, complex64 (⌈symbols / coherence_symbols⌉,).
        coherence_symbols : int
            Length of a coherence block in symbols, ≥ 1.
        noise_variance : float
            N0 ≥ 0, the variance of the complex noise (N0/2 per value).
        gain_correction : float
            As `modulate` gave it, ≥ 0.
        fading_symbols : int
            As of a `Reception`; of use where there are pilots, and none here.

        Returns
        -------
        Estimates, and the variance of the error of each; both float32 (n,). Where h is 0 the estimate is 0, the mean.

        Raises
        ------
        SignalError
            Numbers that are not finite or negative, lengths that do not fit.
        """
        symbols, csi = finite_complex(symbols, "symbols"), finite_complex(csi, "csi")
        if symbols.size != self.symbols:
            raise SignalError(f"{symbols.size} symbols; {self.scales.size} values make {self.symbols}")
        if coherence_symbols < 1 or csi.size != -(-self.symbols // coherence_symbols):
            raise SignalError(f"{csi.size} channel gains for {self.symbols} symbols in blocks of {coherence_symbols}")
        for name, value in (("noise_variance", noise_variance), ("gain_correction", gain_correction)):
            if not (isfinite(value) and value >= 0):
                raise SignalError(f"{name} is {value}; allowed: 0 and above, finite")
        places = interleaver(self.symbols)
        gains = expand_gains(csi, coherence_symbols, self.symbols)[places]
        return self.estimate_values(
            symbols[places], gains, noise_variance=noise_variance, gain_correction=gain_correction
        )

    def estimate_values(
        self, symbols: Symbols, gains: Gains, *, noise_variance: float, gain_correction: float
    ) -> tuple[Estimates, Estimates]:
        """As `estimate`, from symbols in the order of the values.

        Parameters
        ----------
        symbols : Symbols
            Received y, complex64 (symbols,), not interleaved.
        gains : Gains
            h of each symbol, complex64 (symbols,).
        noise_variance : float
            N0 ≥ 0.
        gain_correction : float
            As `map_values` gave it, ≥ 0.

        Returns
        -------
        As those of `estimate`.
        """
        h = gains.astype(np.complex128)
        matched = (h.conj() * symbols).view(np.float64)[: self.scales.size]
        strength = np.repeat(np.abs(h) ** 2, 2)[: self.scales.size] * self.powers
        total = np.maximum(strength + noise_variance / 2, np.finfo(np.float64).tiny)
        deviation = self.scales * np.sqrt(gain_correction)
        estimates = deviation * np.sqrt(self.powers) * matched / total
        errors = np.where(strength > 0, deviation**2 * (noise_variance / 2) / total, deviation**2)
        return estimates.astype(np.float32), errors.astype(np.float32)
