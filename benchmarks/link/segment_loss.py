"""Which segments a channel loses, by the measured error curves instead of sending each: exact enough, and quick.

What a code makes of a fading channel depends on the mutual information that its symbols carry, hardly on how it is
spread over them (mutual-information effective SNR mapping; Brueninghaus et al. 2005). So a segment is lost as often as
one in AWGN at the SNR that carries as much. `tests/benchmarks/link/test_segment_loss.py` compares with segments that
are really sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from panolink.phy import Modulation, SegmentFormat
from panolink.phy.bler_curves import bler_curve
from panolink.phy.modem.mapping import constellation, demap

COHERENCE_SYMBOLS = 256
_SNR_GRID_DB = np.arange(-40.0, 50.0, 0.5)
_SAMPLES = 20_000


class Air(StrEnum):
    """The channels of the benchmark.

    awgn : h = 1.
    segment : Rayleigh, one coefficient for each segment: nothing is averaged.
    interleaved : Rayleigh, one coefficient for each 256 symbols of the burst, over which the interleaver spreads each
        segment.
    """

    AWGN = "awgn"
    SEGMENT = "rayleigh-segment"
    INTERLEAVED = "rayleigh-interleaved"


@lru_cache
def _information(modulation: Modulation) -> np.ndarray:
    """Bits per symbol that bit-interleaved coded modulation carries in AWGN at the SNRs of the grid.

    Of each bit 1 minus the mean of log2(1 + e^−LLR), with the LLR of the value that was sent (Caire, Taricco, Biglieri
    1998).
    """
    rng, points = np.random.default_rng(0), constellation(modulation)
    labels = rng.integers(points.size, size=_SAMPLES)
    bits = labels[:, None] >> np.arange(modulation.bits - 1, -1, -1) & 1
    noise = rng.standard_normal((_SAMPLES, 2)) @ np.array([1, 1j]) * np.sqrt(0.5)
    carried = []
    for snr_db in _SNR_GRID_DB:
        n0 = 10 ** (-snr_db / 10)
        symbols = (points[labels] + np.sqrt(n0) * noise).astype(np.complex64)
        llr = demap(symbols, np.ones_like(symbols), n0, modulation).reshape(bits.shape) * (1 - 2 * bits)
        carried.append(modulation.bits - np.logaddexp(0, -llr).mean(axis=0).sum() / np.log(2))
    # Samples are finite: what is left of their noise must not make the curve turn back.
    return np.maximum.accumulate(np.clip(carried, 0, modulation.bits - 1e-9)) + 1e-12 * np.arange(_SNR_GRID_DB.size)


def effective_snr_db(snr_db: np.ndarray, modulation: Modulation) -> float:
    """The SNR in AWGN at which symbols carry what they carry in the mean at these SNRs (dB)."""
    table = _information(modulation)
    return float(np.interp(np.interp(snr_db, _SNR_GRID_DB, table).mean(), table, _SNR_GRID_DB))


@dataclass(frozen=True)
class Draw:
    """One state of the air; the same at every SNR, so that curves differ by what is compared and not by chance."""

    air: Air
    seed: tuple[int, ...]

    def gains(self, count: int, what: int = 0) -> np.ndarray:
        """`count` coefficients h, complex128; `what` tells apart different uses of one draw."""
        if self.air is Air.AWGN:
            return np.ones(count, complex)
        rng = np.random.default_rng((*self.seed, what))
        return rng.standard_normal((count, 2)) @ np.array([1, 1j]) * np.sqrt(0.5)

    def error_rates(self, formats: Sequence[SegmentFormat], snr_db: float) -> np.ndarray:
        """Probability of being lost of each segment of a burst, float64."""
        total = sum(fmt.symbols for fmt in formats)
        if self.air is Air.SEGMENT:
            snrs = snr_db + 20 * np.log10(np.abs(self.gains(len(formats))))
            return np.array([_error_rate(fmt, float(snr)) for fmt, snr in zip(formats, snrs, strict=True)])
        blocks = snr_db + 20 * np.log10(np.abs(self.gains(-(-total // COHERENCE_SYMBOLS))))
        effective = {m: effective_snr_db(blocks, m) for m in {fmt.scheme.modulation for fmt in formats}}
        return np.array([_error_rate(fmt, effective[fmt.scheme.modulation]) for fmt in formats])

    def lost(self, formats: Sequence[SegmentFormat], snr_db: float) -> np.ndarray:
        """Which segments are lost, bool."""
        chance = np.random.default_rng((*self.seed, 1)).random(len(formats))
        return chance < self.error_rates(formats, snr_db)


def _error_rate(fmt: SegmentFormat, snr_db: float) -> float:
    return bler_curve(fmt.scheme, payload_bytes=fmt.payload_bytes).bler(snr_db)
