"""The physical layer: payloads to radio symbols and back, and a channel to try them on.

    formats = [SegmentFormat(len(payload), Scheme("qpsk", 1 / 3)) for payload in payloads]
    symbols = modulate(payloads, formats)
    reception = Channel(Conditions("rayleigh", snr_db=10)).apply(symbols)
    payloads = demodulate(**vars(reception), formats=formats)        # None where a CRC failed

It knows bytes and symbols; nothing of images or of a packet's layers. The channel and the schemes need numpy only; what
needs numba is loaded with `modulate`, `demodulate` and `warm_up`, and torch only by the decoder for GPUs.
"""

from typing import TYPE_CHECKING, Any

from panolink.phy.channel.conditions import ChannelModel, Clock, Conditions, doppler_of_speed
from panolink.phy.channel.model import Channel, Reception
from panolink.phy.channel.scenario import Phase, Scenario, SnrTrace
from panolink.phy.mcs import Modulation, Scheme, SegmentFormat

if TYPE_CHECKING:
    from panolink.phy.channel_decoder import demodulate, warm_up
    from panolink.phy.channel_encoder import modulate

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
    "demodulate",
    "doppler_of_speed",
    "modulate",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from panolink.phy import channel_decoder, channel_encoder

        return getattr(channel_encoder if name == "modulate" else channel_decoder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
