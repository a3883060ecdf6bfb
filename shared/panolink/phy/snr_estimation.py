"""What a receiver can tell of the channel that a burst met (numpy only)."""

from math import isfinite, log10
from typing import NamedTuple

import numpy as np

from panolink.phy.channel.model import expand_gains
from panolink.phy.modem.channel_estimation import estimate_channel

NOISE_FLOOR = 1e-6
"""N0 is taken for at least −60 dB: an ideal channel says 0."""


class ChannelMeasurement(NamedTuple):
    """The channel of a burst, over the symbols that were not erased.

    snr_db : mean |h|² over N0, in dB; None where every symbol was erased.
    fading : variance of |h|² over its squared mean: 0 for a channel that stays as it is, 1 for Rayleigh fading.
    """

    snr_db: float | None
    fading: float


def measure_channel(
    symbols: np.ndarray, *, csi: np.ndarray, coherence_symbols: int, noise_variance: float, pilot_spacing: int = 0
) -> ChannelMeasurement:
    """Measure the channel that a burst met; parameters as those of `demodulate`, which has checked them.

    With pilots the coefficients are what the receiver estimates, and not what it is told; errors of the estimate count
    as noise, as they do for the decoder.
    """
    n0 = max(float(noise_variance), NOISE_FLOOR)
    if pilot_spacing:
        _, gains = estimate_channel(
            symbols,
            spacing=pilot_spacing,
            coherence_symbols=coherence_symbols,
            noise_variance=n0,
            lost=expand_gains(csi == 0, coherence_symbols, symbols.size),
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
    snr_db = 10 * log10(mean / n0)
    return ChannelMeasurement(snr_db if isfinite(snr_db) else None, variance / mean**2)
