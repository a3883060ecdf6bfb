"""A panorama through encoder, radio channel and decoder in one process, without services.

python examples/link_without_services.py samples/city.webp
"""

import sys

from panolink import Codec, load_panorama
from panolink.link.receiver import Receiver
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.transmitter import RateRequest, Transmitter
from panolink.metrics.viewport import vpsnr
from panolink.phy import Channel, Conditions

picture = load_panorama(sys.argv[1])
codec = Codec.load("base")
budget = SymbolBudget.per_pixel(0.1, pixels=picture.shape[0] * picture.shape[1])
sent = Transmitter(codec).transmit(picture, RateRequest(budget=budget))
arrived = Channel(Conditions("rayleigh", snr_db=10, seed=1)).apply(sent.symbols)
received = Receiver(codec).receive(segments=sent.segments, **vars(arrived))

lost = sum(count.lost for count in received.segments.values())
print(f"{len(sent.symbols)} symbols, {sent.symbols_per_pixel:.3f} per pixel, {sent.bpp:.3f} bits per pixel")
print(f"{lost} of {len(sent.formats)} segments lost")
if received.picture is not None:
    print(f"VPSNR {vpsnr(picture, received.picture):.2f} dB")
