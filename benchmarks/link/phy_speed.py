"""How long a panorama takes to cross the PHY, and how fast one core decodes.

    python benchmarks/link/phy_speed.py [--snr 10] [--json]

The burst is that of a 2048×1024 panorama at 0.1 bpp: 26 kB in slices of about 330 bytes, of lengths that all
differ a little, as real ones do. Times are medians, after a warm-up.
"""

import argparse
import json
from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from panolink.link.unequal_protection import assign_formats, default_schemes
from panolink.phy import Channel, ChannelModel, Conditions, Scheme, SegmentFormat, demodulate, modulate, warm_up
from panolink.phy.fec.ldpc import ldpc_code
from panolink.phy.fec.ldpc_decoder import LayeredDecoder
from panolink.phy.modem.mapping import demap, map_bits

PIXELS, BPP, SLICE_BYTES = 2048 * 1024, 0.1, 330


def panorama() -> list[SegmentFormat]:
    """Formats of a typical packet: header, mask, a third indices, the rest features."""
    rng = np.random.default_rng(0)
    total = int(PIXELS * BPP / 8)
    slices = [("header", 40), ("mask", 300)]
    while (sent := sum(size for _, size in slices)) < total:
        layer = "indices" if sent < total * 0.35 else "features"
        slices.append((layer, min(SLICE_BYTES + int(rng.integers(-20, 20)), total - sent)))
    return assign_formats(slices)


def timed(action: Callable[[], Any], repeats: int, clock: Callable[[], float] = perf_counter) -> tuple[Any, float]:
    """The action's result, and its median time in seconds."""
    seconds, result = [], None
    for _ in range(repeats):
        start = clock()
        result = action()
        seconds.append(clock() - start)
    return result, median(seconds)


def fading_seconds(model: ChannelModel, symbols: np.ndarray, args: argparse.Namespace) -> float:
    """Seconds for a burst through a channel that moves (100 Hz at 1 Msymbol/s) and is selective (1 µs)."""
    channel = Channel(Conditions(model, snr_db=args.snr, seed=0, doppler_hz=100, delay_spread_s=1e-6))
    return timed(lambda: channel.apply(symbols), args.repeats)[1]


def decoding_speed(scheme: Scheme, blocks: int = 40) -> dict[str, float]:
    """One core's decoding speed in Mbit/s of information, by processor time: at the lowest SNR (AWGN) that lets all
    blocks through, where a decoder works hardest, and 5 dB above."""
    _, k, n = SegmentFormat(SLICE_BYTES, scheme).blocks
    code, modulation = ldpc_code(k, n, scheme.modulation.bits), scheme.modulation
    coded = code.encode(np.random.default_rng(1).integers(0, 2, (blocks, k), np.uint8))
    symbols, decoder = map_bits(coded.ravel(), modulation), LayeredDecoder()

    def decode_all(snr_db: float) -> tuple[bool, float]:
        noisy = Channel(Conditions("awgn", snr_db, seed=0)).apply(symbols)
        llrs = demap(noisy.symbols, np.ones_like(noisy.symbols), noisy.noise_variance, modulation).reshape(-1, n)
        used, seconds = timed(lambda: [decoder.decode_block(code, llr)[1] for llr in llrs], 3, process_time)
        return min(used) >= 0, blocks * k / seconds / 1e6

    for edge in np.arange(-5.0, 30.0, 0.5):
        through, speed = decode_all(edge)
        if through:
            return {"edge_db": float(edge), "edge": speed, "clear": decode_all(edge + 5)[1]}
    raise RuntimeError(f"{scheme} lets nothing through")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snr", type=float, default=10.0, help="Es/N0 in dB of the Rayleigh channel")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    schemes = list(dict.fromkeys(s for graded in default_schemes().values() for s in graded))
    _, warming = timed(lambda: warm_up(schemes), 1)
    formats = panorama()
    rng = np.random.default_rng(2)
    payloads = [rng.bytes(fmt.payload_bytes) for fmt in formats]
    channel = Channel(Conditions("rayleigh", snr_db=args.snr, seed=0))
    symbols, fec_encode = timed(lambda: modulate(payloads, formats), args.repeats)
    reception, fading = timed(lambda: channel.apply(symbols), args.repeats)
    received, fec_decode = timed(lambda: demodulate(**vars(reception), formats=formats), args.repeats)
    seconds = {"fec_encode": fec_encode, "channel": fading, "fec_decode": fec_decode}
    seconds["total"] = sum(seconds.values())
    models = {str(model): fading_seconds(model, symbols, args) for model in ChannelModel}
    lost = sum(payload is None for payload in received)
    speeds = {str(scheme): decoding_speed(scheme) for scheme in schemes}
    if args.json:
        result = {
            "snr_db": args.snr,
            "segments": {"sent": len(formats), "lost": lost},
            "symbols": symbols.size,
            "seconds": {"warm_up": warming, **seconds},
            "channel_seconds": models,
            "decode_mbit_per_s_per_core": speeds,
        }
        print(json.dumps(result))
        return
    print(f"2048×1024 at {BPP} bpp, Rayleigh {args.snr:g} dB: {len(formats)} segments, {lost} lost")
    print(f"{symbols.size} symbols ({symbols.size / PIXELS:.3f} per pixel); warm-up {warming:.2f} s")
    for stage, value in seconds.items():
        print(f"  {stage:12} {1e3 * value:7.1f} ms")
    print("The channel, ms: " + ", ".join(f"{name} {1e3 * value:.1f}" for name, value in models.items()))
    print("Decoding, Mbit/s of information per core, at the edge (AWGN) / 5 dB above")
    for name, speed in speeds.items():
        print(f"  {name:12} {speed['edge_db']:4.1f} dB: {speed['edge']:5.1f} / {speed['clear']:.1f}")


if __name__ == "__main__":
    main()
