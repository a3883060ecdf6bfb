"""Bits to symbols and back to soft bits.

Square QAM is two Gray-labelled amplitude modulations (PAM), one in phase (bits 0, 2, 4) and one in quadrature
(bits 1, 3, 5), as in TS 38.211 §5.1 and Sionna's `Constellation("qam", …)`.

Log-likelihood ratios here are ln P(bit = 0) / P(bit = 1): positive means 0. (Sionna's are the negative of
it.)
"""

from functools import lru_cache
from math import exp, log, sqrt

import numpy as np

from panolink.jit import kernel
from panolink.phy.mcs import Modulation
from panolink.phy.shapes import Bits, Estimates, Gains, Llrs, Symbols

LLR_MAX = 60.0
"""LLRs are clipped to ± this"""

_HUGE = 1e8  # metrics stay under this: beyond it float32 runs out of digits, and nothing is in doubt


@lru_cache
def pam_levels(modulation: Modulation) -> Estimates:
    """Amplitudes of one dimension, in phase or in quadrature (TS 38.211 §5.1).

    Returns
    -------
    float32 (2^(bits/2),), by label with its first bit most significant, scaled so that the QAM has unit mean power:
    QPSK ±1/√2.
    """
    levels = np.array([1.0])
    for bits in range(modulation.bits // 2):  # (1 − 2·b)·(2^bits − level of the rest), TS 38.211 §5.1
        inner = 2.0**bits - levels if bits else levels
        levels = np.concatenate([inner, -inner])
    return (levels / sqrt(2 * np.mean(levels**2))).astype(np.float32)


@lru_cache
def constellation(modulation: Modulation) -> Symbols:
    """Constellation points of a modulation (TS 38.211 §5.1.3 to §5.1.5).

    Returns
    -------
    complex64 (2^bits,), by label: bits b0 b1 … read as a binary number.
    """
    bits = modulation.bits
    labels = np.arange(2**bits)
    in_phase, quadrature = np.zeros_like(labels), np.zeros_like(labels)
    for i in range(bits // 2):
        in_phase = 2 * in_phase + (labels >> (bits - 1 - 2 * i) & 1)
        quadrature = 2 * quadrature + (labels >> (bits - 2 - 2 * i) & 1)
    levels = pam_levels(modulation)
    return (levels[in_phase] + 1j * levels[quadrature]).astype(np.complex64)


def map_bits(bits: Bits, modulation: Modulation) -> Symbols:
    """Map bits to symbols.

    Parameters
    ----------
    bits : Bits
        uint8 (n·bits per symbol,), each 0 or 1.
    modulation : Modulation
        QPSK, 16QAM or 64QAM.

    Returns
    -------
    complex64 (n,), of unit mean power for random bits.
    """
    groups = bits.reshape(-1, modulation.bits)
    labels = groups[:, 0].astype(np.intp)
    for i in range(1, modulation.bits):
        labels = 2 * labels + groups[:, i]
    return constellation(modulation)[labels]


@kernel
def _demap(symbols: np.ndarray, gains: np.ndarray, noise_variance: float, levels: np.ndarray, llr: np.ndarray) -> None:
    count = levels.size
    bits = 0
    while 1 << bits < count:
        bits += 1
    weight = np.empty(count, np.float32)
    dims = np.empty(2, np.float32)
    for j in range(symbols.size):
        y, h = np.complex128(symbols[j]), np.complex128(gains[j])  # no overflow, whatever float32 held
        # −|y − h·x|²/N0 = 2·Re(h*·y·x*)/N0 − |h|²·|x|²/N0 + const: no division by h, so h = 0 gives LLR 0
        v = min((h.real * h.real + h.imag * h.imag) / noise_variance, _HUGE)
        dims[0] = min(max((h.real * y.real + h.imag * y.imag) / noise_variance, -_HUGE), _HUGE)
        dims[1] = min(max((h.real * y.imag - h.imag * y.real) / noise_variance, -_HUGE), _HUGE)
        for d in range(2):
            w = dims[d]
            if count == 2:
                llr[2 * j + d] = min(max(4 * w * levels[0], -LLR_MAX), LLR_MAX)
                continue
            best = np.float32(-1e30)
            for label in range(count):
                weight[label] = (2 * w - v * levels[label]) * levels[label]
                best = max(best, weight[label])
            for label in range(count):
                weight[label] = exp(weight[label] - best)
            for b in range(bits):
                zero, one = np.float32(1e-30), np.float32(1e-30)
                for label in range(count):
                    if label >> (bits - 1 - b) & 1:
                        one += weight[label]
                    else:
                        zero += weight[label]
                llr[2 * (j * bits + b) + d] = min(max(log(zero / one), -LLR_MAX), LLR_MAX)


def demap(symbols: Symbols, gains: Gains, noise_variance: float, modulation: Modulation) -> Llrs:
    """Exact bit-wise LLRs of y = h·x + n with known h: coherent equalisation and demapping in one step.

    Parameters
    ----------
    symbols : Symbols
        Received y, complex64 (n,), finite.
    gains : Gains
        Channel h of each symbol, complex64 (n,), finite; 0 is an erasure (LLR 0).
    noise_variance : float
        N0 > 0, variance of the complex noise (N0/2 per real dimension).
    modulation : Modulation
        QPSK, 16QAM or 64QAM.

    Returns
    -------
    float32 (n·bits per symbol,), ln P(0)/P(1), within ±60.
    """
    llr = np.empty(symbols.size * modulation.bits, np.float32)
    _demap(symbols, gains, noise_variance, pam_levels(modulation), llr)
    return llr
