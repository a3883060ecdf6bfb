"""SNR and fading of a burst, measured at the receiver (numpy only)."""

from math import inf, isfinite, log10, nan
from typing import NamedTuple

import numpy as np

from panolink.phy.channel.model import expand_gains
from panolink.phy.modem.channel_estimation import estimate_channel, pilot_mask
from panolink.phy.shapes import Csi, Symbols

NOISE_FLOOR = 1e-6
"""N0 is taken for at least −60 dB: that of an ideal channel is 0"""


LEAST_PILOTS = 16
"""of which the noise alone may be taken for an SNR, −12 dB: that of fewer would be one at which pictures arrive"""


class ChannelMeasurement(NamedTuple):
    """SNR and fading of a burst, over the symbols that were not erased.

    Parameters
    ----------
    snr_db : float | None
        Mean |h|² over N0, in dB; None where every symbol was erased, or where a few pilots show nothing but noise.
    fading : float
        Variance of |h|² over its squared mean: 0 for a constant channel, about 1 for Rayleigh fading.
    """

    snr_db: float | None
    fading: float


def measure_channel(
    symbols: Symbols,
    *,
    csi: Csi,
    coherence_symbols: int,
    noise_variance: float,
    fading_symbols: int = 0,
    pilot_spacing: int = 0,
) -> ChannelMeasurement:
    """Measure SNR and fading of a burst. Nothing is checked; `demodulate` checks the same numbers.

    Parameters
    ----------
    symbols : Symbols
        Received y = h·x + n, complex64 (n,), pilots included.
    csi : Csi
        h of each coherence block, complex64 (⌈n / coherence_symbols⌉,); 0 where it was erased.
    coherence_symbols : int
        Length of a coherence block in symbols, ≥ 1.
    noise_variance : float
        N0 ≥ 0.
    fading_symbols : int
        Symbols over which h is constant, see `Reception`; 0: ``coherence_symbols``.
    pilot_spacing : int
        With pilots the coefficients are estimated from them and not taken from `csi`; errors of the
        estimate count as noise, as they do for the decoder. The SNR is then at least 1 over the number of pilots
        that arrived: N0 over that is the noise of all of them added in phase, under which no h can be seen. Of fewer
        than `LEAST_PILOTS` that would be a good SNR: what is below is not known. 0: no pilots.
    """
    n0 = max(float(noise_variance), NOISE_FLOOR)
    least_db = -inf
    if pilot_spacing:
        lost = expand_gains(csi == 0, coherence_symbols, symbols.size)
        pilots = np.count_nonzero(pilot_mask(symbols.size, pilot_spacing) & ~lost)
        least_db = -10 * log10(max(pilots, 1))
        _, gains = estimate_channel(
            symbols,
            spacing=pilot_spacing,
            coherence_symbols=fading_symbols or coherence_symbols,
            noise_variance=n0,
            lost=lost,
        )
        weights = np.ones(gains.size)
    else:
        gains, weights = csi, np.full(csi.size, float(coherence_symbols))
        weights[-1:] = symbols.size - (csi.size - 1) * coherence_symbols  # the last block may be cut short
    weights[gains == 0] = 0
    if not weights.any():
        return ChannelMeasurement(None, 0.0)
    powers = np.abs(gains).astype(np.float64) ** 2
    mean = float(np.average(powers, weights=weights))
    variance = float(np.average((powers - mean) ** 2, weights=weights))
    snr_db = 10 * (log10(mean) - log10(n0))  # mean / n0 may be less than a float holds
    if snr_db < least_db:
        snr_db = least_db if least_db <= -10 * log10(LEAST_PILOTS) else nan
    return ChannelMeasurement(snr_db if isfinite(snr_db) else None, variance / mean**2)
