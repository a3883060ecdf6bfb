"""The physical layer: payloads to radio symbols and back, and a channel to try them on.

    formats = [SegmentFormat(len(payload), Scheme("qpsk", 1 / 3)) for payload in payloads]
    symbols = modulate(payloads, formats)
    reception = Channel(Conditions("rayleigh", snr_db=10)).apply(symbols)
    payloads = demodulate(**vars(reception), formats=formats)        # None where a CRC failed

It is LDPC and CRC (`fec`), QAM, interleaver and pilots (`modem`), fading, noise and erasures (`channel`), HARQ, and
real values sent as amplitudes. It is not a link: it knows bytes, symbols and their formats, nothing of images, of a
packet's layers, or of which of them deserves protection; nor a modem for the air: there is no synchronisation.
Names are loaded when they are asked for: the channel needs numpy, `modulate` and `demodulate` numba, and torch only
the decoder for GPUs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from panolink.phy.channel.channel_models import ChannelModel
    from panolink.phy.channel.conditions import Clock, Conditions, doppler_of_speed
    from panolink.phy.channel.model import Channel, Reception
    from panolink.phy.channel.scenario import Phase, Scenario, SnrTrace
    from panolink.phy.channel_decoder import demodulate, warm_up
    from panolink.phy.channel_encoder import modulate
    from panolink.phy.mcs import Modulation, Scheme, SegmentFormat

_MODULES = {
    "channel.channel_models": ("ChannelModel",),
    "channel.conditions": ("Clock", "Conditions", "doppler_of_speed"),
    "channel.model": ("Channel", "Reception"),
    "channel.scenario": ("Phase", "Scenario", "SnrTrace"),
    "channel_decoder": ("demodulate", "warm_up"),
    "channel_encoder": ("modulate",),
    "mcs": ("Modulation", "Scheme", "SegmentFormat"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

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
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
