"""Pilots, and the estimate of the channel from them: a receiver without perfect channel state information.

Every `spacing`-th symbol of a burst, from its first, is a QPSK pilot that the receiver knows; they cost 1 symbol in
`spacing`. numpy only, but for their values.
"""

import numpy as np

from panolink.errors import SignalError
from panolink.phy.shapes import Gains, SymbolMask, Symbols

MAX_SPACING = 1 << 16
_TAPS, _MAX_LAG = 16, 4096  # of the filter, in blocks
_PART = (1 << 16) - 2 * _MAX_LAG  # blocks whose correlation is taken at once: transforms of 2¹⁶
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
    received = pilots & ~lost
    observed = symbols[received] * np.conj(_pilots(int(pilots.sum()))[~lost[pilots]])
    blocks, size = np.flatnonzero(received) // coherence_symbols, -(-symbols.size // coherence_symbols)
    count = np.bincount(blocks, minlength=size)
    known = np.flatnonzero(count)
    if not known.size:
        return symbols[~pilots], np.zeros(symbols.size - int(pilots.sum()), np.complex64)
    means = np.empty(size, np.complex128)  # of each block's pilots; 0 where it has none
    means.real, means.imag = (np.bincount(blocks, part, size) for part in (observed.real, observed.imag))
    means[known] /= count[known]
    gains, error = _wiener(means, known, noise_variance / count[known])
    if known.size < size:
        off = _distance_from_line(gains, error)
        every = np.arange(size)
        gains, error = (np.interp(every, known, part) for part in (gains, error))
        error[count == 0] += off
    scale = np.sqrt(1 / (1 + error / noise_variance)).astype(np.float32)
    gains = gains.astype(np.complex64) * scale
    data = ~pilots
    places = np.flatnonzero(data) // coherence_symbols
    return symbols[data] * scale[places], np.where(lost[data], np.complex64(0), gains[places])


def _wiener(means: np.ndarray, known: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear MMSE estimates of h of the blocks with pilots, and the variance of their errors.

    Of all blocks there are the means of their pilots, 0 without any; of those that are `known`, by their numbers, the
    variance of the noise in the mean.

    The autocorrelation is measured over the burst, and the lags (of blocks) at which it is largest, and too large for
    chance, are the filter's taps: near neighbours where fading is slow, the same subcarriers of other OFDM symbols
    where it is selective, the block alone where blocks are independent. Blocks whose taps are not all there get an
    estimate from their own pilots. (Divided by the number of blocks and not of pairs, the measured autocorrelation is
    one that a process can have, so the filter is stable however few blocks there are.)

    Blocks may be single symbols of a long burst: whatever there is one of for each block is made for one tap at a time.
    """
    most = min(_MAX_LAG, means.size // 8)
    correlation = _autocorrelation(means, 2 * most + 1) / known.size
    mean_noise = float(noise.mean())
    power = max(float(correlation[0].real) - mean_noise, 1e-6)
    correlation[0] = power
    gains = means[known] * (power / (power + noise))
    error = power * noise / (power + noise)

    chance = _SIGNIFICANT * (power + mean_noise) / np.sqrt(known.size)
    lags = 1 + np.flatnonzero(np.abs(correlation[1 : most + 1]) > chance)
    lags = lags[np.argsort(-np.abs(correlation[lags]), kind="stable")][: _TAPS // 2]
    if lags.size:
        taps = np.concatenate([[0], lags, -lags])
        between = taps[None, :] - taps[:, None]  # E{h(b + t_j)·h*(b + t_i)} = r(t_j − t_i)
        matrix = np.where(between >= 0, correlation[np.abs(between)], np.conj(correlation[np.abs(between)]))
        towards = np.where(taps >= 0, np.conj(correlation[np.abs(taps)]), correlation[np.abs(taps)])
        weights = np.linalg.solve(matrix + mean_noise * np.eye(taps.size), towards)
        has_pilots = np.zeros(means.size, bool)
        has_pilots[known] = True
        whole = (known >= lags.max()) & (known < means.size - lags.max())
        for tap in taps:
            whole[whole] = has_pilots[known[whole] + tap]
        # ĥ(b) = Σ w_i·m(b + t_i) with m = h + noise
        places = known[whole]
        filtered = np.zeros(places.size, np.complex128)
        for weight, tap in zip(weights, taps, strict=True):
            filtered += weight * means[places + tap]
        gains[whole] = filtered
        least = mean_noise * power / (power + mean_noise) / taps.size
        error[whole] = max(power - float((weights @ np.conj(towards)).real), least)
    return gains, error


def _autocorrelation(x: np.ndarray, lags: int) -> np.ndarray:
    """Σ_i x(i + k)·x*(i) for k = 0 … lags − 1, by parts of `_PART`: a transform of all would take many times x."""
    part = min(_PART, x.size)
    length = 1 << (part + lags - 2).bit_length()  # so long that nothing wraps
    total = np.zeros(lags, np.complex128)
    for start in range(0, x.size, part):
        here, ahead = (np.fft.fft(x[start : start + n], length) for n in (part, part + lags - 1))
        total += np.fft.ifft(ahead * np.conj(here))[:lags]
    return total


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
