"""The physical layer: payloads to radio symbols and back, and a channel to try them on.

    formats = assign_formats([("header", 40), ("indices", 330), ("features", 330)])
    symbols = modulate(payloads, formats)
    reception = Channel(Conditions("rayleigh", snr_db=10)).apply(symbols)
    payloads = demodulate(**vars(reception), formats=formats)        # None where a CRC failed

It knows bytes, symbols and layer names; nothing of images. The channel and the schemes need numpy only; what
needs numba is loaded with `modulate`, `demodulate` and `warm_up`, and torch only by the decoder for GPUs.
"""

from typing import TYPE_CHECKING, Any

from panolink.phy.channel import Channel, Reception
from panolink.phy.conditions import ChannelModel, Clock, Conditions, doppler_of_speed
from panolink.phy.schedule import Phase, Scenario, SnrTrace
from panolink.phy.schemes import Modulation, Scheme, SegmentFormat, assign_formats, default_schemes

if TYPE_CHECKING:
    from panolink.phy.transmission import demodulate, modulate, warm_up

__all__ = [
    "Channel",
    "ChannelModel",
    "Clock",
    "Conditions",
    "Modulation",
    "Phase",
    "Reception",
    "Scenario",
    "Scheme",
    "SegmentFormat",
    "SnrTrace",
    "assign_formats",
    "default_schemes",
    "demodulate",
    "doppler_of_speed",
    "modulate",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from panolink.phy import transmission

        return getattr(transmission, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
