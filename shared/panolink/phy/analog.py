"""Values sent as amplitudes: no code, no cliff. Each real number is half of a symbol, in phase or in quadrature.

    places = select_values(worth, count=2 * symbols_to_spend)
    mapper = AnalogMapper(scales[places], worth[places])
    symbols, gain_correction = mapper.modulate(values[places])
    values, errors = mapper.estimate(**vars(channel.apply(symbols)), gain_correction=gain_correction)

That is a burst of its own. As a segment of one that has others, too, the values go through
`map_values` and `estimate_values`.

Both ends know how large each value is likely to be, so nothing is sent but the values and one number,
`gain_correction`. Power is
spent as the square root of what a value's variance is worth (Lee, Petersen 1976; SoftCast, Jakubczak, Katabi 2011):
the allocation that makes the weighted squared error least among linear codes at high SNR, and it needs no knowledge of
the channel. The receiver's estimate is the linear MMSE one. (numpy only)
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np

from panolink.errors import SignalError
from panolink.phy.channel.model import expand_gains, finite_complex
from panolink.phy.modem.interleaving import interleaver

QUARTER_OCTAVES = 4
_MOST_WORTH = 200  # quarter octaves between the greatest and the least: float32 reaches as far


def select_values(worth: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` values with the greatest worth, ascending; of equals the first ones. int64 (≤ count,).

    worth : √(weight · variance) of each value in quarter octaves, integers (n,): so all hosts choose the same.
    """
    if count < 0:
        raise SignalError(f"{count} values to choose; allowed: 0 and above")
    return np.sort(np.argsort(-worth.astype(np.int64), kind="stable")[:count])


@dataclass(frozen=True)
class AnalogFormat:
    """A segment of real values, two a symbol.

    Raises
    ------
    SignalError : less than one value.
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
    """Real values of known scale as symbols.

    Parameters
    ----------
    scales : standard deviation of each value as both ends know it, > 0, floats (n,).
    worth : as in `select_values`, integers (n,).

    Raises
    ------
    SignalError : lengths that differ, or scales that are not positive numbers.
    """

    scales: np.ndarray
    worth: np.ndarray

    def __post_init__(self) -> None:
        if self.scales.ndim != 1 or self.scales.shape != self.worth.shape:
            raise SignalError(f"{self.scales.shape} scales but {self.worth.shape} worths; expected two equal rows")
        if not (np.isfinite(self.scales).all() and (self.scales > 0).all()):
            raise SignalError("scales: every one must be a positive, finite number")

    @property
    def symbols(self) -> int:
        """Channel uses: two values each."""
        return -(-self.scales.size // 2)

    @property
    def powers(self) -> np.ndarray:
        """Power of each value as sent, float64 (n,); together with a zero that fills up the last symbol their mean is
        1/2, so that symbols have unit mean power."""
        if not self.scales.size:
            return np.empty(0)
        relative = np.exp2(np.maximum(self.worth - self.worth.max(), -_MOST_WORTH) / QUARTER_OCTAVES)
        return self.symbols * relative / relative.sum()

    def modulate(self, values: np.ndarray) -> tuple[np.ndarray, float]:
        """The symbols of values, and the gain correction: their mean square over what the scales say.

        Returns
        -------
        complex64 (symbols,) of unit mean power, interleaved; and the gain correction, a float32 number that has to
        reach the receiver beside them. 0 where all values are 0, and so are the symbols.

        Raises
        ------
        SignalError : values that are not finite, or another number of them.
        """
        ordered, gain_correction = self.map_values(values)
        symbols = np.empty_like(ordered)
        symbols[interleaver(ordered.size)] = ordered
        return symbols, gain_correction

    def map_values(self, values: np.ndarray, *, gain_correction: float | None = None) -> tuple[np.ndarray, float]:
        """As `modulate`, in the order of the values.

        Parameters
        ----------
        gain_correction : the one that the receiver will be told, where that is not exactly what the values give; the
            symbols' power is off by as much.
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
        symbols: np.ndarray,
        *,
        csi: np.ndarray,
        coherence_symbols: int,
        noise_variance: float,
        gain_correction: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Linear MMSE estimates of the values, and the variance of their errors; both float32 (n,).

        Parameters
        ----------
        symbols, csi, coherence_symbols : as received, see `demodulate`. Where h is 0 the estimate is 0, the mean.
        noise_variance : N0 ≥ 0, the variance of the complex noise (N0/2 per value).
        gain_correction : as `modulate` gave it.

        Raises
        ------
        SignalError : numbers that are not finite or negative, lengths that do not fit.
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
        self, symbols: np.ndarray, gains: np.ndarray, *, noise_variance: float, gain_correction: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `estimate`, of symbols in the order of the values: y and h, complex64 (symbols,) both, and N0 ≥ 0."""
        gains = gains.astype(np.complex128)
        matched = (gains.conj() * symbols).view(np.float64)[: self.scales.size]
        strength = np.repeat(np.abs(gains) ** 2, 2)[: self.scales.size] * self.powers
        total = np.maximum(strength + noise_variance / 2, np.finfo(np.float64).tiny)
        deviation = self.scales * np.sqrt(gain_correction)
        estimates = deviation * np.sqrt(self.powers) * matched / total
        errors = np.where(strength > 0, deviation**2 * (noise_variance / 2) / total, deviation**2)
        return estimates.astype(np.float32), errors.astype(np.float32)
