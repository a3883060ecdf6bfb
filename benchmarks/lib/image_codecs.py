"""The still-picture codecs that Panolink is measured against: JPEG, WebP, AVIF and JPEG 2000 as Pillow has them.

codec = WebP()
data = codec.encode(image, quality=30)
image = codec.decode(data)
data = encode_at(codec, image, bpp=0.1)     # the best quality that fits
"""

import hashlib
import io
from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import Any

import numpy as np
from PIL import Image, __version__

from panolink.errors import RateError


class ImageCodec(ABC):
    """Something that turns uint8 `(H, W, 3)` into bytes at a quality, and back.

    `qualities` are all it takes, from worst to best; `sweep` a few of them, enough to draw its curve from its
    lowest rate to about 1 bpp.
    """

    name: str
    qualities: range
    sweep: tuple[int, ...]

    @property
    def version(self) -> str:
        """What the figures depend on besides the quality: they are cached under this name."""
        return self.name

    @abstractmethod
    def encode(self, image: np.ndarray, *, quality: int) -> bytes: ...

    @abstractmethod
    def decode(self, data: bytes) -> np.ndarray: ...


def options_digest(options: object) -> str:
    """A short hash of a codec's options: figures made with others are other figures."""
    return hashlib.sha256(repr(options).encode()).hexdigest()[:6]


class PillowCodec(ImageCodec):
    """A format of Pillow with its slowest sensible options."""

    format: str
    options: dict[str, Any]

    @property
    def version(self) -> str:
        return f"{self.name}-pillow{__version__}-{options_digest(self.options)}"

    def encode(self, image: np.ndarray, *, quality: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, self.format, quality=quality, **self.options)
        return buffer.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(data), formats=(self.format,)) as image:
            return np.array(image.convert("RGB"))


class JPEG(PillowCodec):
    """libjpeg-turbo, progressive, with optimised Huffman tables, 4:2:0."""

    name = "jpeg"
    format = "JPEG"
    qualities = range(1, 96)
    sweep = (2, 4, 6, 10, 20, 40, 60)
    options: dict[str, Any] = {"optimize": True, "progressive": True}  # noqa: RUF012


class WebP(PillowCodec):
    """libwebp at its most thorough (method 6)."""

    name = "webp"
    format = "WEBP"
    qualities = range(0, 101)
    sweep = (0, 5, 15, 30, 50, 70, 80)
    options: dict[str, Any] = {"method": 6}  # noqa: RUF012


class AVIF(PillowCodec):
    """libavif; speed 6 is its default, 4 gains a little for several times the work.

    It is tuned for looks by itself (`iq`), at some cost in squared error; HEVC and VVC are tuned for that, and so is it
    where ``tune`` is `psnr`.
    """

    format = "AVIF"
    qualities = range(0, 101)
    sweep = (5, 15, 25, 35, 45, 55, 65)

    def __init__(self, *, speed: int = 6, tune: str = "") -> None:
        self.name = f"avif-s{speed}" + (f"-{tune}" if tune else "")
        # One thread: tiles would cost bits, and figures should not depend on the machine.
        self.options = {"speed": speed, "max_threads": 1} | ({"advanced": {"tune": tune}} if tune else {})


class JPEG2000(PillowCodec):
    """OpenJPEG, irreversible 9/7 wavelet and colour transform; qualities are tenths of a decibel of PSNR asked for."""

    name = "jpeg2000"
    format = "JPEG2000"
    qualities = range(160, 560)  # in whole decibels it would leave a tenth to a fifth of a target's bits
    sweep = (190, 220, 250, 280, 310, 340, 370)
    # Without `mct` red, green and blue are coded each by itself, in twice the bits.
    options: dict[str, Any] = {"quality_mode": "dB", "irreversible": True, "mct": 1, "no_jp2": True}  # noqa: RUF012

    @property
    def version(self) -> str:
        return f"{super().version}-tenths"

    def encode(self, image: np.ndarray, *, quality: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, self.format, quality_layers=[quality / 10], **self.options)
        return buffer.getvalue()


PILLOW_CODECS: dict[str, ImageCodec] = {
    codec.name: codec
    for codec in (JPEG(), WebP(), AVIF(speed=6), AVIF(speed=4), AVIF(speed=4, tune="psnr"), JPEG2000())
}


def bits_per_pixel(data: bytes, image: np.ndarray) -> float:
    """All the bits of `data` over the pixels of `image` `(H, W, 3)`."""
    return 8 * len(data) / (image.shape[0] * image.shape[1])


def encode_at(codec: ImageCodec, image: np.ndarray, *, bpp: float) -> bytes:
    """Encode at the highest quality that costs at most `bpp`; RateError as for `quality_at`."""
    return quality_at(codec, image, bpp=bpp)[1]


def quality_at(codec: ImageCodec, image: np.ndarray, *, bpp: float) -> tuple[int, bytes]:
    """The highest quality that costs at most `bpp`, and the image encoded at it.

    Found by bisection, first of the sweep, whose files are wanted anyway, then between two of its qualities.

    Raises:
        RateError: even the lowest quality costs more; the message names what it costs.
    """
    files: dict[int, bytes] = {}

    def size(index: int) -> float:
        files[index] = codec.encode(image, quality=codec.qualities[index])
        return bits_per_pixel(files[index], image)

    if (least := size(0)) > bpp:
        raise RateError(f"{codec.name} cannot go below {least:.4f} bpp on this image; {bpp:g} was asked for")
    # Sizes grow with quality but for a few bytes here and there, which moves the result by one step at most.
    swept = sorted({codec.qualities.index(quality) for quality in codec.sweep} - {0})
    fitting = bisect_right(swept, bpp, key=size)
    low, high = [0, *swept, len(codec.qualities)][fitting : fitting + 2]
    best = low + bisect_right(range(low + 1, high), bpp, key=size)
    return codec.qualities[best], files[best]
