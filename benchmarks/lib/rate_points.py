"""Measured points of rate and quality, kept per image and codec so that an interrupted benchmark goes on."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

import panolink
from benchmarks.lib.ffmpeg_codecs import FFMPEG_CODECS
from benchmarks.lib.image_codecs import PILLOW_CODECS, ImageCodec, bits_per_pixel, encode_at
from benchmarks.lib.quality_measures import Reference
from benchmarks.lib.revisions import is_of_these_measures, of_measures, revision
from panolink.codec.effort import Effort
from panolink.errors import RateError

BASELINES: dict[str, ImageCodec] = {**PILLOW_CODECS, **FFMPEG_CODECS}


@dataclass(frozen=True)
class Point:
    """One image at one setting. ``reached`` is false where a codec could not go as low as was asked."""

    bpp: float
    scores: dict[str, float]
    reached: bool = True


@dataclass(frozen=True)
class Subject:
    """A codec under test. ``code`` gives an image's bytes at a setting ("q=30", "bpp=0.1"), what they decode to, and
    whether the setting was reached; ``settings`` are its curve and the targets."""

    name: str
    version: str
    settings: tuple[str, ...]
    code: Callable[[np.ndarray, str], tuple[bytes, np.ndarray, bool]]


class CachedCodec(ImageCodec):
    """A codec whose files are kept below ``cache``: what the search for one target tries, the next one needs too."""

    def __init__(self, codec: ImageCodec, cache: Path) -> None:
        self.codec, self.cache = codec, cache
        self.name, self.qualities, self.sweep = codec.name, codec.qualities, codec.sweep

    @property
    def version(self) -> str:
        return self.codec.version

    def encode(self, image: np.ndarray, *, quality: int) -> bytes:
        file = _folder_of(image, self.cache) / self.version / f"{quality}.bin"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_bytes(self.codec.encode(image, quality=quality))
            partial.replace(file)
        return file.read_bytes()

    def decode(self, data: bytes) -> np.ndarray:
        return self.codec.decode(data)


def baseline(codec: ImageCodec, targets: Sequence[float], *, sweep: bool = True) -> Subject:
    """A codec at each target in bits per pixel, and at the qualities of its sweep."""

    def code(image: np.ndarray, setting: str) -> tuple[bytes, np.ndarray, bool]:
        kind, value = setting.split("=")
        reached = True
        if kind == "q":
            data = codec.encode(image, quality=int(value))
        else:
            try:
                data = encode_at(codec, image, bpp=float(value))
            except RateError:
                data, reached = codec.encode(image, quality=codec.qualities[0]), False
        return data, codec.decode(data), reached

    settings = [f"q={q}" for q in codec.sweep if sweep] + [f"bpp={bpp:g}" for bpp in targets]
    return Subject(codec.name, codec.version, tuple(settings), code)


QUALITIES = ("3@8", "2@8", "3/2@8", "1@8", "1@5", "1@2", "1@-1", "1@-4")
"""A model's fixed qualities: by how much sides are reduced, and the step in quarter octaves; all is sent that pays."""


def model(name: str, targets: Sequence[float], *, sweep: bool = True) -> Subject:
    """A model of Panolink at each target in bits per pixel, and at fixed qualities.

    ``name``: a shipped model's or a file, behind a colon another of its decoders, or a realism ("base:perceptual",
    "base:0.5"), and behind a plus another effort of its encoder ("base+slow").
    BD-rates need these: means over images of one quality and of one rate are two different curves, of which the latter
    lies higher.
    """
    given, _, effort = name.partition("+")
    weights, _, decoder = given.partition(":")
    effort = Effort(effort or Effort.FAST)
    realism = float(decoder) if re.fullmatch(r"[0-9.]+", decoder) else None
    codec = panolink.Codec.load(weights, decoder="" if realism is not None else decoder, realism=realism)

    def code(image: np.ndarray, setting: str) -> tuple[bytes, np.ndarray, bool]:
        kind, value = setting.split("=")
        reached = True
        if kind == "q":
            reduction, step = value.split("@")
            packet = codec.encode(image, step=int(step), reduction=Fraction(reduction), effort=effort)
        else:
            try:
                packet = codec.encode(image, bpp=float(value), effort=effort)
            except RateError:
                packet, reached = codec.encode(image, tau=0.0), False
        return packet.to_bytes(), codec.decode(packet), reached

    settings = [f"q={quality}" for quality in QUALITIES if sweep] + [f"bpp={bpp:g}" for bpp in targets]
    version = f"{codec.name}-{codec.fingerprint}-{revision(codec)}" + (
        f"-{effort}" if effort is not Effort.FAST else ""
    )
    return Subject(name, version, tuple(settings), code)


def indices_alone(weights: Path) -> Subject:
    """A model that sends nothing but indices, as a VQGAN does: one setting, named by its profile."""
    codec = panolink.Codec.load(weights)

    def code(image: np.ndarray, setting: str) -> tuple[bytes, np.ndarray, bool]:
        packet = codec.encode(image, tau=0.0)
        return packet.to_bytes(), codec.decode(packet), True

    return Subject(codec.profile, f"{codec.profile}-{codec.fingerprint}-{revision(codec)}", ("tau=0",), code)


def points(
    subject: Subject, image: np.ndarray, settings: dict[str, str], measures: Sequence[str], cache: Path
) -> Iterator[tuple[str, Point]]:
    """Points of one image, for each label its setting's, from the cache or measured and put there.

    A point that lacks some of ``measures`` is coded again and gains them; scores of other measures' code are none.
    """
    file = _folder_of(image, cache) / f"{subject.version}.json"
    reference = Reference(image)
    known: dict[str, dict] = json.loads(file.read_text()) if file.exists() else {}
    for label, setting in settings.items():
        kept = known.get(setting, {})
        if not is_of_these_measures(kept):
            kept = {}
        if missing := [name for name in measures if name not in kept]:
            data, decoded, reached = subject.code(image, setting)
            coded = {"bpp": bits_per_pixel(data, image), "reached": reached, "revision": of_measures()}
            known[setting] = kept | coded
            known[setting] |= reference.measure(decoded, missing)
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(known, indent=1))
            partial.replace(file)
        found = known[setting]
        yield label, Point(found["bpp"], {name: found[name] for name in measures}, found["reached"])


def _folder_of(image: np.ndarray, cache: Path) -> Path:
    """Where all that is known of an image is kept."""
    digest = hashlib.sha256(image.tobytes()).hexdigest()[:16]
    return cache / f"{image.shape[1]}x{image.shape[0]}-{digest}"
