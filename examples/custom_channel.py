"""A channel of one's own: what `Receiver` needs is the symbols that arrive and what it may know of the channel.

Here a burst of interference wipes out two fifths of the symbols; noise is as at 12 dB.

    python examples/custom_channel.py samples/studio.webp
"""

import sys

import numpy as np

from panolink import Codec, load_panorama
from panolink.link.receiver import Receiver
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.metrics.viewport import vpsnr

COHERENCE_SYMBOLS = 64


def interference(sent: np.ndarray, seed: int = 1) -> dict:
    """Received symbols y = h·x + n, and h of each coherence block: 0 where interference was."""
    random = np.random.default_rng(seed)
    blocks = -(-sent.size // COHERENCE_SYMBOLS)
    csi = np.ones(blocks, np.complex64)
    wiped_out = 2 * blocks // 5
    begin = random.integers(blocks - wiped_out)
    csi[begin : begin + wiped_out] = 0
    n0 = 10 ** (-12 / 10)  # variance of the complex noise, N0/2 per real dimension
    noise = np.sqrt(n0 / 2) * (random.standard_normal(sent.size) + 1j * random.standard_normal(sent.size))
    received = np.repeat(csi, COHERENCE_SYMBOLS)[: sent.size] * sent + noise
    return {
        "symbols": received.astype(np.complex64),
        "csi": csi,
        "coherence_symbols": COHERENCE_SYMBOLS,
        "noise_variance": n0,
    }


picture = load_panorama(sys.argv[1])
codec = Codec.load("base")
budget = SymbolBudget.per_pixel(0.15, pixels=picture.shape[0] * picture.shape[1])
sent = Transmitter(codec).transmit(picture, RateRequest(budget=budget))
received = Receiver(codec).receive(segments=sent.segments, **interference(sent.symbols))
for layer, count in received.segments.items():
    print(f"{layer}: {count.lost} of {count.sent} segments lost")
if received.picture is not None:
    print(f"VPSNR {vpsnr(picture, received.picture):.2f} dB")
