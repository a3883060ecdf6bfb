"""Colours and depths to sRGB at 8 bits: ICC profiles, alpha, 16 bits, and signals of other primaries and transfers."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

BT709, DISPLAY_P3, BT2020 = 1, 12, 9
"""Colour primaries by their numbers in ITU-T H.273."""
PQ, HLG = 16, 18
"""Transfer characteristics of HDR signals, ditto."""

_TO_709 = {
    # ITU-R BT.2087, annex 2
    BT2020: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    DISPLAY_P3: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
STRIP_ROWS = 256
"""of an image that are converted at a time"""

_DAMAGE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
"""what Pillow raises of a damaged ICC profile"""

_SDR_WHITE = 203.0  # cd/m² of diffuse white in HDR programmes, ITU-R BT.2408
_KNEE = 0.75  # of diffuse white: what is darker stays as it is


def to_rgb8(image: Image.Image) -> NDArray[np.uint8]:
    """A Pillow image as uint8 sRGB (H, W, 3): its ICC profile applied, alpha on black, 16 bits scaled to 8.

    Floats are taken as 0 to 1.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        grey = np.asarray(image)
        # Pillow opens 16-bit PNGs as "I;16" or "I", depending on its version.
        scaled = grey * 255.0 if image.mode == "F" else grey / 257.0
        if isinstance(transparent := image.info.get("transparency"), int):  # one grey of a PNG, which lies on black
            scaled[grey == transparent] = 0
        image = Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))
    colours = "L" if _is_grey(image) and _model_of(profile) == "GRAY" else "RGB"
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return _in_strips(rgba, lambda strip: _on_black(strip, colours, profile))
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert(colours)
    return _in_strips(convert_profile(image, profile), lambda strip: strip.convert("RGB"))


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> NDArray[np.uint8]:
    """What `convert` makes of an image, mode RGB, as uint8 (H, W, 3): strip by strip, for Pillow's whole images take
    four bytes per pixel each, and their way to an array as much again."""
    width, height = image.size
    array = np.empty((height, width, 3), np.uint8)
    image.load()
    for top in range(0, height, STRIP_ROWS):
        bottom = min(top + STRIP_ROWS, height)
        array[top:bottom] = np.asarray(convert(image.crop((0, top, width, bottom))))
    return array


def _is_grey(image: Image.Image) -> bool:
    """Whether an image has no colours, so that a profile of greys may be its own."""
    if image.mode == "P":
        palette = np.frombuffer(image.convert("P").im.getpalette("RGB", "RGB"), np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La")


def _model_of(profile: bytes | None) -> str:
    """Colour model of an ICC profile, as it says itself; empty where there is no usable one."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        return source.profile.xcolor_space.strip()  # type: ignore[union-attr]
    except (ImageCms.PyCMSError, OSError):
        return ""


def _on_black(rgba: Image.Image, colours: str, profile: bytes | None) -> Image.Image:
    """A strip without its transparency; its `colours`, L or RGB, are what the profile is of."""
    rgb = convert_profile(rgba.convert(colours), profile).convert("RGB")
    return Image.composite(rgb, Image.new("RGB", rgba.size), rgba.getchannel("A"))


def convert_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """From the colours of an ICC profile to sRGB, perceptually; the image itself where there is no usable profile.

    A profile of another colour model than the image (an RGB profile on a grey image, say) is one that viewers ignore.
    """
    if not profile:
        return image
    try:
        mode, transform = _transform_of(profile)
        return ImageCms.applyTransform(image, transform) or image if transform and mode == image.mode else image
    except _DAMAGE:
        return image


def notes_on_profile(profile: bytes | None) -> tuple[str, ...]:
    """What the user should be told of an ICC profile: that it is damaged. Nothing of a good one, or of none."""
    try:
        if profile:
            _transform_of(profile)
    except _DAMAGE:
        return ("its colour profile is damaged, and was left aside",)
    return ()


def _transform_of(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode of the images that a profile is of, and what makes sRGB of them; None where that is left to viewers, or
    the profile is sRGB. Raises one of `_DAMAGE` for a damaged one, which may well open."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    model = source.profile.xcolor_space.strip()  # type: ignore[union-attr]
    mode = {"GRAY": "L", "Lab": "LAB"}.get(model, model)
    if mode not in ("L", "RGB", "CMYK", "LAB") or _is_srgb(profile):
        return mode, None
    intent = ImageCms.Intent.PERCEPTUAL if mode == "CMYK" else ImageCms.Intent.RELATIVE_COLORIMETRIC
    return mode, ImageCms.buildTransform(source, _srgb_profile(), mode, "RGB", renderingIntent=intent)


@functools.cache
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_srgb(profile: bytes) -> bool:
    """Whether a profile calls itself sRGB: those of cameras differ from the standard by rounding only."""
    described = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    return described.strip().lower().startswith("srgb iec61966-2")


def srgb_from_linear(linear: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Linear light of BT.709 primaries, 0 to 1, as sRGB (IEC 61966-2-1), uint8; beyond is clipped."""
    steps = np.nan_to_num(linear, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
    return _SRGB[np.rint(steps * (len(_SRGB) - 1)).astype(np.uint16)]


def linear_from_signal(signal: NDArray[np.floating], transfer: int) -> NDArray[np.float32]:
    """Light in units of diffuse white (203 cd/m²) from a PQ or HLG signal of 0 to 1, (H, W, 3).

    ITU-R BT.2100, tables 4 and 5; HLG for a display of 1000 cd/m².
    """
    signal = np.asarray(signal, np.float32).clip(0, 1)
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = signal ** (1 / m2)
        light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * (10000 / _SDR_WHITE)
        return light.astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    return (scene * luminance[..., None] ** 0.2 * (1000 / _SDR_WHITE)).astype(np.float32)


def to_709(linear: NDArray[np.floating], primaries: int) -> NDArray[np.floating]:
    """Linear light in BT.709 primaries, negative where the colour lies outside of them."""
    return linear @ np.array(_TO_709[primaries], np.float32).T if primaries in _TO_709 else linear


def compress_highlights(linear: NDArray[np.floating]) -> NDArray[np.floating]:
    """Light in units of diffuse white into 0 to 1, hue kept: what is darker than three quarters of white stays as it
    is, what is brighter approaches 1."""
    linear = np.maximum(linear, 0)
    brightest = np.maximum(linear.max(-1, keepdims=True), 1e-6)
    rolled = _KNEE + (1 - _KNEE) * -np.expm1(-(brightest - _KNEE) / (1 - _KNEE))
    return linear * np.where(brightest > _KNEE, rolled / brightest, 1)


def signal_to_srgb(signal: NDArray[np.floating], primaries: int, transfer: int) -> NDArray[np.uint8]:
    """An RGB signal of 0 to 1, (H, W, 3), with the primaries and transfer of H.273, as uint8 sRGB.

    PQ and HLG are tone-mapped. Any other transfer is taken for that of sRGB, as players do.
    """
    if transfer in (PQ, HLG):
        return srgb_from_linear(compress_highlights(to_709(linear_from_signal(signal, transfer), primaries)))
    if primaries in _TO_709:
        return srgb_from_linear(to_709(_linear_from_srgb(signal), primaries))
    return np.rint(np.clip(signal, 0, 1) * 255).astype(np.uint8)


def _linear_from_srgb(signal: NDArray[np.floating]) -> NDArray[np.float32]:
    signal = np.asarray(signal, np.float32).clip(0, 1)
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _srgb_table() -> NDArray[np.uint8]:
    light = np.linspace(0, 1, 1 << 16)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)


_SRGB = _srgb_table()
