"""The codec alone: a panorama to a packet of a given rate and back, and what its layers cost.

python examples/codec_only.py samples/forest.webp
"""

import sys

from panolink import Codec, load_panorama
from panolink.metrics.viewport import vpsnr, vssim

picture = load_panorama(sys.argv[1])
codec = Codec.load("base")
for bpp in (0.05, 0.1, 0.2):
    packet = codec.encode(picture, bpp=bpp)
    decoded = codec.decode(packet)
    layers = ", ".join(f"{layer} {bits // 8} B" for layer, bits in packet.bits.items())
    print(
        f"{packet.bpp:.3f} bpp: VPSNR {vpsnr(picture, decoded):.2f} dB, VSSIM {vssim(picture, decoded):.3f} ({layers})"
    )
