"""Radiance HDR, OpenEXR and portable float maps: light without a limit, tone-mapped to what a display shows."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from panolink.errors import ImageError
from panolink.images.colour import compress_highlights, srgb_from_linear
from panolink.images.formats import Opened, decoder_package

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_MIDDLE_GREY = 0.18
_one_at_a_time = threading.Lock()
_NOTE = "light without a limit (HDR) was tone-mapped to sRGB"


def tone_map(linear: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Scene light, linear BT.709 (H, W, 3), as uint8 sRGB.

    The exposure puts the geometric mean of luminance at middle grey, 0.18 (Reinhard et al. 2002, equation 1), weighted
    by the area of each row on the sphere; highlights roll off towards white.
    """
    linear = np.nan_to_num(np.asarray(linear, np.float32), nan=0.0, posinf=65504.0, neginf=0.0)
    luminance = np.maximum(linear @ _LUMINANCE, 0)
    rows = np.cos(np.pi * ((np.arange(linear.shape[0]) + 0.5) / linear.shape[0] - 0.5))
    bright = float(luminance.max())
    logs = np.log(luminance + 1e-6 * max(bright, 1e-6)).mean(1)
    mean = float(np.exp(np.average(logs, weights=rows)))
    return srgb_from_linear(compress_highlights(linear * np.float32(_MIDDLE_GREY / max(mean, 1e-12))))


def open_radiance(file: BinaryIO) -> Opened:
    """A Radiance picture (`.hdr`): shared exponents, one byte for each colour."""
    data = file.read()
    found = re.search(rb"\n\n([+-][XY]) (\d{1,6}) ([+-][XY]) (\d{1,6})\n", data[:65536])
    if found is None:
        raise ImageError("a Radiance header without a resolution")
    if (found[1], found[3]) != (b"-Y", b"+X"):
        raise ImageError("a Radiance picture that is stored turned or mirrored; save it upright (-Y +X)")
    if b"FORMAT=32-bit_rle_xyze" in data[: found.start()]:
        raise ImageError("a Radiance picture in XYZ; save it in RGB (ra_xyze -r)")
    height, width = int(found[2]), int(found[4])

    def decode() -> NDArray[np.uint8]:
        codecs = decoder_package("imagecodecs", "Radiance HDR")
        return tone_map(codecs.rgbe_decode(data)[..., :3])

    return Opened(width, height, decode, notes=(_NOTE,))


def open_pfm(file: BinaryIO) -> Opened:
    """A portable float map (`.pfm`), grey or RGB: floats from the lowest row up."""
    data = file.read()
    found = re.match(rb"P([fF])\s+(\d{1,6})\s+(\d{1,6})\s+([-+]?[0-9.]{1,20}(?:[eE][-+]?\d{1,3})?)\s", data[:256])
    if found is None:
        raise ImageError("a portable float map without a size")
    width, height, colours = int(found[2]), int(found[3]), 3 if found[1] == b"F" else 1
    kind = np.dtype("<f4" if found[4].startswith(b"-") else ">f4")  # the sign of the scale says the byte order

    def decode() -> NDArray[np.uint8]:
        samples = np.frombuffer(data, kind, height * width * colours, found.end())
        rows = samples.reshape(height, width, colours)[::-1]
        return tone_map(np.broadcast_to(rows, (height, width, 3)))

    return Opened(width, height, decode, notes=(_NOTE,))


def open_exr(file: BinaryIO) -> Opened:
    """An OpenEXR picture: its first part, R, G and B or Y; alpha is premultiplied, and so lies on black."""
    exr = decoder_package("OpenEXR", "OpenEXR")
    data = io.BytesIO(file.read())
    header: dict[str, Any] = exr.File(data, header_only=True).header()
    low, high = header["dataWindow"]
    first, last = header.get("displayWindow", (low, high))
    if tuple(low) != tuple(first) or tuple(high) != tuple(last):
        raise ImageError("an OpenEXR picture whose pixels are only a part of its display window; save it whole")
    width, height = int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)
    if "envmap" in header and "cube" in str(header["envmap"]).lower():
        raise ImageError("a cubemap in OpenEXR; convert it to latitude-longitude (exrenvmap -latlong)")

    def decode() -> NDArray[np.uint8]:
        data.seek(0)
        with _unheard():
            found = exr.File(data, separate_channels=True)
        if not found.parts:  # it prints why, and goes on
            raise ImageError("truncated or damaged OpenEXR (its pixels cannot be unpacked)")
        channels = found.channels()
        names = ("R", "G", "B") if {"R", "G", "B"} <= set(channels) else ("Y", "Y", "Y")
        if not set(names) <= set(channels):
            raise ImageError(f"an OpenEXR picture with the channels {', '.join(sorted(channels))}, and no R, G, B or Y")
        return tone_map(np.stack([np.asarray(channels[name].pixels, np.float32) for name in names], -1))

    return Opened(width, height, decode, notes=(_NOTE,))


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep what OpenEXR prints out of standard output, where programs read our JSON; other threads still print."""
    with _one_at_a_time, redirect_stdout(_OtherThreads(sys.stdout)):
        yield


class _OtherThreads(io.TextIOBase):
    """Standard output without what this thread writes."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stdout.write(text)

    def flush(self) -> None:
        self._stdout.flush()
