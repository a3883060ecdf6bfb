"""Measure how often a segment is lost at an SNR, for each scheme: what adaptation and `quality_over_snr.py` go by.

    python benchmarks/link/fit_bler_curves.py [--blocks 150]

For each scheme, channel and size of segment: real segments are sent at SNRs 0.2 dB apart through the part of the
curve from 90 % to 1 % loss, and a Gaussian tail is fitted to what was lost (maximum likelihood). Writes
`shared/panolink/phy/bler_curves.json` after each curve and leaves out what is there: an interrupted run goes on. Three
minutes on one core.
"""

import argparse
import json
import sys
from math import log2
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from panolink.phy import Channel, Conditions, Scheme, SegmentFormat, demodulate, modulate
from panolink.phy.bler_curves import SIZES
from panolink.phy.mcs import MCS_TABLE

RESULT = Path(__file__).resolve().parents[2] / "shared/panolink/phy/bler_curves.json"
PILOT_BLOCKS = 16
SPACING_DB = {"awgn": 0.2, "rayleigh": 0.3}
HEADER, SLICE, PIECE = SIZES


def lost(size: int, scheme: Scheme, channel: str, snr_db: float, blocks: int, seed: int) -> int:
    """How many of the segments are lost, each sent as a burst of its own would be."""
    formats = [SegmentFormat(size, scheme)] * blocks
    rng = np.random.default_rng(seed)
    symbols = modulate([rng.bytes(size) for _ in formats], formats)
    conditions = Conditions(channel, snr_db, coherence_symbols=1, seed=seed)
    return demodulate(**vars(Channel(conditions).apply(symbols)), formats=formats).count(None)


def measure(size: int, scheme: Scheme, channel: str, blocks: int) -> tuple[float, float]:
    """Median and spread in dB of the curve."""
    snr_db = 10 * log2(2**scheme.bits_per_symbol - 1) / log2(10) - (1 if channel == "awgn" else 0)
    while lost(size, scheme, channel, snr_db, PILOT_BLOCKS, 1) > PILOT_BLOCKS * 0.8:
        snr_db += 0.5
    snr_db -= 0.5
    counts: list[tuple[float, int]] = []
    while not counts or counts[-1][1] > 0.015 * blocks:
        counts.append((snr_db, lost(size, scheme, channel, snr_db, blocks, len(counts) + 2)))
        snr_db += SPACING_DB[channel]
    return fit(counts, blocks)


def fit(counts: list[tuple[float, int]], blocks: int) -> tuple[float, float]:
    """Maximum likelihood of median and spread for (SNR in dB, lost) of `blocks` each."""
    snr, failed = np.array(counts, float).T

    def unlikelihood(numbers: np.ndarray) -> float:
        z = (numbers[0] - snr) / np.exp(numbers[1])
        return -float((failed * log_ndtr(z) + (blocks - failed) * log_ndtr(-z)).sum())

    start = np.array([np.interp(-0.5 * blocks, -failed, snr), np.log(0.3)])
    median, spread = minimize(unlikelihood, start, method="Nelder-Mead").x
    return round(float(median), 3), round(float(np.exp(spread)), 3)


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=150, help="segments per SNR")
    args = parser.parse_args()
    wanted = [(s, channel, SLICE) for channel in SPACING_DB for s in MCS_TABLE]
    wanted += [(s, "awgn", HEADER) for s in MCS_TABLE]
    wanted += [(s, "awgn", PIECE) for s in MCS_TABLE]
    curves = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for scheme, channel, size in wanted:
        sizes = curves.setdefault(str(scheme), {}).setdefault(channel, {})
        if str(size) in sizes:
            continue
        sizes[str(size)] = measure(size, scheme, channel, args.blocks)
        RESULT.write_text(json.dumps(curves, indent=1) + "\n")
        print(f"{scheme}, {channel}, {size} bytes: median {sizes[str(size)][0]} dB, spread {sizes[str(size)][1]} dB")


if __name__ == "__main__":
    main()
