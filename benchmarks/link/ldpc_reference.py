"""How far our LDPC decoder is from Sionna's belief propagation, for the code blocks that the link uses.

    python benchmarks/link/ldpc_reference.py [--blocks 400] [--iterations 50]

For each code: the lowest SNR (AWGN) at which our decoder loses 1 % of the blocks, and what Sionna's loses 0.1 dB below.
Where that is 1 % or more, ours is within 0.1 dB. Sionna's takes minutes on a CPU; `tests/phy/fec/test_ldpc_decoder.py`
holds the figures and measures ours again.
"""

import argparse

import numpy as np

from panolink.link.unequal_protection import default_schemes
from panolink.phy import Channel, Conditions, Modulation, Scheme, SegmentFormat
from panolink.phy.fec.ldpc import LdpcCode, ldpc_code
from panolink.phy.fec.ldpc_decoder import LayeredDecoder
from panolink.phy.modem.mapping import demap, map_bits

HEADER_BYTES, SLICE_BYTES = 40, 330
BATCH = 50


def codes() -> list[tuple[int, Scheme]]:
    """(payload bytes, scheme) of the segments of a packet.

    Sionna's codes end at rate 1/5; below it ours send the bits of that rate more than once.
    """
    slices = [scheme for layer in ("mask", "indices", "features") for scheme in default_schemes()[layer]]
    lowest = Scheme(Modulation.QPSK, 1 / 5)
    return [(HEADER_BYTES, lowest)] + [(SLICE_BYTES, scheme) for scheme in slices if scheme.code_rate >= 1 / 5]


def blocks(size: int, scheme: Scheme, snr_db: float, count: int, seed: int) -> tuple[LdpcCode, np.ndarray, np.ndarray]:
    """A code, information bits uint8 (count, k), and the LLRs of their symbols after AWGN, float32 (count, n)."""
    _, k, n = SegmentFormat(size, scheme).blocks
    code = ldpc_code(k, n, scheme.modulation.bits)
    bits = np.random.default_rng(seed).integers(0, 2, (count, k), np.uint8)
    sent = map_bits(code.encode(bits).ravel(), scheme.modulation)
    received = Channel(Conditions("awgn", snr_db, seed=seed)).apply(sent)
    llr = demap(received.symbols, np.ones_like(received.symbols), received.noise_variance, scheme.modulation)
    return code, bits, llr.reshape(count, n)


def our_block_error_rate(size: int, scheme: Scheme, snr_db: float, count: int, seed: int = 1) -> float:
    """Share of the blocks that our decoder gets wrong."""
    code, bits, llrs = blocks(size, scheme, snr_db, count, seed)
    decoded = LayeredDecoder().decode([(code, llr) for llr in llrs])
    return float(np.mean([(a != b).any() for a, b in zip(decoded, bits, strict=True)]))


def sionna_block_error_rate(size: int, scheme: Scheme, snr_db: float, count: int, iterations: int) -> float:
    """Share of the blocks that Sionna's flooding belief propagation gets wrong."""
    import torch
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    torch.set_num_threads(1)
    code, bits, llrs = blocks(size, scheme, snr_db, count, seed=2)
    encoder = LDPC5GEncoder(code.k, code.n, num_bits_per_symbol=scheme.modulation.bits)
    decoder, wrong = LDPC5GDecoder(encoder, num_iter=iterations), 0
    for i in range(0, count, BATCH):
        decoded = decoder(torch.from_numpy(-llrs[i : i + BATCH])).numpy()  # Sionna's sign: positive means 1
        wrong += int((decoded != bits[i : i + BATCH]).any(axis=1).sum())
    return wrong / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=400, help="for Sionna; ours is given five times as many")
    parser.add_argument("--iterations", type=int, default=50, help="of Sionna's decoder, whose default is 20")
    args = parser.parse_args()
    for size, scheme in codes():
        rough = next(snr for snr in np.arange(-6, 30, 0.2) if our_block_error_rate(size, scheme, snr, 50) < 0.3)
        grid = [round(float(snr), 2) for snr in rough + np.arange(0, 1, 0.05)]
        edge = next(snr for snr in grid if our_block_error_rate(size, scheme, snr, 5 * args.blocks) < 0.007)
        ours = our_block_error_rate(size, scheme, edge, 5 * args.blocks)
        theirs = sionna_block_error_rate(size, scheme, edge - 0.1, args.blocks, args.iterations)
        print(
            f"{size} bytes, {scheme}: ours {ours:.4f} at {edge:.2f} dB, Sionna's {theirs:.4f} at {edge - 0.1:.2f} dB",
            flush=True,
        )


if __name__ == "__main__":
    main()
