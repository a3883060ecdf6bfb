"""Pilots, and the estimate of the channel from them: a receiver without perfect channel state information.

Every `spacing`-th symbol of a burst, from its first, is a QPSK pilot that the receiver knows; they cost 1 symbol in
`spacing`. numpy only, but for their values.
"""

import numpy as np

from panolink.errors import SignalError
from panolink.phy.shapes import Gains, SymbolMask, Symbols

MAX_SPACING = 1 << 16
_TAPS, _MAX_LAG = 16, 4096  # of the filter, in blocks
_SIGNIFICANT = 5  # standard deviations of what chance correlates
_C_INIT = 0x50494C4F  # of the pilots' Gold sequence (TS 38.211 §5.2.1): not that of the scrambling


def check_pilot_spacing(spacing: int) -> None:
    """Check a distance between pilots, in symbols.

    Raises
    ------
    SignalError
        Neither 0, which means no pilots, nor 2 … 65536.
    """
    if spacing and not 2 <= spacing <= MAX_SPACING:
        raise SignalError(f"pilot_spacing is {spacing}; allowed: 0, or 2 … {MAX_SPACING}")


def pilot_count(n: int, spacing: int) -> int:
    """Number of pilots of a burst with n ≥ 0 other symbols; `spacing` as `check_pilot_spacing` allows."""
    return -(-n // (spacing - 1)) if spacing else 0


def pilot_mask(total: int, spacing: int) -> SymbolMask:
    """Which of a burst's symbols are pilots: bool (total,), `total` counting pilots, too."""
    mask = np.zeros(total, bool)
    if spacing:
        mask[::spacing] = True
    return mask


def insert_pilots(symbols: Symbols, spacing: int) -> Symbols:
    """Put pilots among the symbols of a burst.

    Parameters
    ----------
    symbols : Symbols
        complex64 (n,).
    spacing : int
        Distance between pilots in symbols, 2 … 65536; 0: none.

    Returns
    -------
    complex64 (n + pilot_count(n, spacing),).

    Raises
    ------
    SignalError
        The spacing is out of range.
    """
    check_pilot_spacing(spacing)
    if not spacing:
        return symbols
    burst = np.empty(symbols.size + pilot_count(symbols.size, spacing), np.complex64)
    pilots = pilot_mask(burst.size, spacing)
    burst[pilots] = _pilots(int(pilots.sum()))
    burst[~pilots] = symbols
    return burst


def estimate_channel(
    symbols: Symbols, *, spacing: int, coherence_symbols: int, noise_variance: float, lost: SymbolMask
) -> tuple[Symbols, Gains]:
    """Estimate the channel of a burst from its pilots, and take these out.

    Blocks with pilots get the linear MMSE estimate from their own pilots and from those of the blocks that resemble
    them most, by the correlation that the pilots themselves show (`_wiener`): no statistics of the channel are
    assumed. A block without pilots lies on the line between its nearest neighbours that have some; the error
    of that is estimated from how far those lie from the lines between their own neighbours. Errors act as noise:
    symbols and coefficients are scaled so that N0 is the variance of both together.

    Parameters
    ----------
    symbols : Symbols
        Received y, pilots included, complex64 (total,).
    spacing : int
        Distance between pilots in symbols, 2 … 65536.
    coherence_symbols : int
        Length of the blocks over which h is constant, ≥ 1; the receiver knows where they begin.
    noise_variance : float
        N0 > 0, known to the receiver.
    lost : SymbolMask
        Symbols that were erased, bool (total,).

    Returns
    -------
    y without the pilots, and ĥ for each of them, complex64 (n,) both; ĥ is 0 where nothing is known.
    """
    pilots = pilot_mask(symbols.size, spacing)
    blocks = np.arange(symbols.size) // coherence_symbols
    received = pilots & ~lost
    observed = symbols[received] * np.conj(_pilots(int(pilots.sum()))[~lost[pilots]])
    size = int(blocks[-1]) + 1 if blocks.size else 0
    count = np.bincount(blocks[received], minlength=size)
    real, imaginary = (np.bincount(blocks[received], part, size) for part in (observed.real, observed.imag))
    sums = real + 1j * imaginary
    known, unknown = np.flatnonzero(count), np.flatnonzero(count == 0)
    if not known.size:
        return symbols[~pilots], np.zeros(symbols.size - int(pilots.sum()), np.complex64)
    gains, error = _wiener(sums / np.maximum(count, 1), count, noise_variance)
    if unknown.size:
        off = _distance_from_line(gains[known], error[known])
        gains[unknown] = np.interp(unknown, known, gains[known])
        error[unknown] = np.interp(unknown, known, error[known]) + off
    scale = np.sqrt(1 / (1 + error / noise_variance)).astype(np.float32)
    gains = gains.astype(np.complex64) * scale
    data = ~pilots
    places = blocks[data]
    return symbols[data] * scale[places], np.where(lost[data], np.complex64(0), gains[places])


def _wiener(means: np.ndarray, count: np.ndarray, noise_variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear MMSE estimates of h from the means of each block's pilots, and the variance of their errors.

    The autocorrelation is measured over the burst, and the lags (of blocks) at which it is largest, and too large for
    chance, are the filter's taps: near neighbours where fading is slow, the same subcarriers of other OFDM symbols
    where it is selective, the block alone where blocks are independent. Blocks whose taps are not all there get an
    estimate from their own pilots. (Divided by the number of blocks and not of pairs, the measured autocorrelation is
    one that a process can have, so the filter is stable however few blocks there are.)
    """
    known = count > 0
    noise = noise_variance / np.maximum(count, 1)
    correlation = _autocorrelation(np.where(known, means, 0)) / known.sum()
    power = max(float(correlation[0].real - noise[known].mean()), 1e-6)
    correlation[0] = power
    gains = means * (power / (power + noise))
    error = power * noise / (power + noise)

    chance = _SIGNIFICANT * (power + noise[known].mean()) / np.sqrt(known.sum())
    lags = np.flatnonzero(np.abs(correlation) > chance)
    lags = lags[(lags > 0) & (lags <= min(_MAX_LAG, known.size // 8))]
    lags = lags[np.argsort(-np.abs(correlation[lags]), kind="stable")][: _TAPS // 2]
    if lags.size:
        taps = np.concatenate([[0], lags, -lags])
        between = taps[None, :] - taps[:, None]  # E{h(b + t_j)·h*(b + t_i)} = r(t_j − t_i)
        matrix = np.where(between >= 0, correlation[np.abs(between)], np.conj(correlation[np.abs(between)]))
        towards = np.where(taps >= 0, np.conj(correlation[np.abs(taps)]), correlation[np.abs(taps)])
        # ĥ(b) = Σ w_i·m(b + t_i) with m = h + noise
        weights = np.linalg.solve(matrix + noise[known].mean() * np.eye(taps.size), towards)
        places = np.arange(known.size)[:, None] + taps
        inside = np.flatnonzero((places.min(axis=1) >= 0) & (places.max(axis=1) < known.size))
        whole = inside[known[places[inside]].all(axis=1)]
        gains[whole] = means[places[whole]] @ weights
        least = noise[known].mean() * power / (power + noise[known].mean()) / taps.size
        error[whole] = max(power - float((weights @ np.conj(towards)).real), least)
    return gains, error


def _autocorrelation(x: np.ndarray) -> np.ndarray:
    """Σ_i x(i + k)·x*(i) for k = 0 … len(x) − 1."""
    spectrum = np.fft.fft(x, 2 * x.size)
    return np.fft.ifft(np.abs(spectrum) ** 2)[: x.size]


def _distance_from_line(gains: np.ndarray, error: np.ndarray) -> float:
    """Mean square error of interpolating each gain from its two neighbours, noise deducted; 1 for less than 3 gains."""
    if gains.size < 3:
        return 1.0
    off = gains[1:-1] - (gains[:-2] + gains[2:]) / 2
    return max(0.0, float(np.mean(np.abs(off) ** 2 - error[1:-1] - (error[:-2] + error[2:]) / 4)))


def _pilots(n: int) -> np.ndarray:
    from panolink.phy.fec.scrambling import scrambling_sequence
    from panolink.phy.mcs import Modulation
    from panolink.phy.modem.mapping import map_bits

    return map_bits(scrambling_sequence(2 * n, c_init=_C_INIT), Modulation.QPSK)
