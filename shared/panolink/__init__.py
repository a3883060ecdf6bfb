"""Panolink: 360° panoramas sent as meaning, not as pixels.

    from panolink import Codec

    codec = Codec.load("base")
    packet = codec.encode(image, bpp=0.1)
    image = codec.decode(packet)

Names are loaded when they are first used, so that `import panolink` costs nothing: torch, numba and gRPC come
only with what needs them.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from panolink.client import Client, Delivery
    from panolink.codec.bitstream import Packet
    from panolink.codec.codec import Codec
    from panolink.errors import (
        AccessError,
        BitstreamError,
        ImageError,
        LimitError,
        ModelError,
        PanolinkError,
        RateError,
        SettingError,
        SignalError,
    )
    from panolink.images import load_panorama
    from panolink.rpc.security.credentials import Credentials

__all__ = [
    "AccessError",
    "BitstreamError",
    "Client",
    "Codec",
    "Credentials",
    "Delivery",
    "ImageError",
    "LimitError",
    "ModelError",
    "Packet",
    "PanolinkError",
    "RateError",
    "SettingError",
    "SignalError",
    "__version__",
    "load_panorama",
]

# gRPC's C core logs to standard error, and reads this variable once, when grpc is imported. Failures are reported
# by our own errors; set the variable to see the core's view.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

_HOMES = {
    "panolink.codec.codec": ("Codec",),
    "panolink.codec.bitstream": ("Packet",),
    "panolink.errors": (
        "AccessError",
        "BitstreamError",
        "ImageError",
        "LimitError",
        "ModelError",
        "PanolinkError",
        "RateError",
        "SettingError",
        "SignalError",
    ),
    "panolink.images": ("load_panorama",),
    "panolink.client": ("Client", "Delivery"),
    "panolink.rpc.security.credentials": ("Credentials",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("panolink")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        globals()[name] = _version()
        return globals()[name]
    if name not in _HOME_OF:
        raise AttributeError(f"module 'panolink' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
