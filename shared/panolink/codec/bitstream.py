"""The bitstream: a packet of independently decodable slices, in memory, in a ``.plk`` file and on the air.

    header   magic "PLK", version, fingerprint (8 bytes); width, height, twice the reduction, step modulo 256, index
             slices S, parts P, length of the mask, lengths of the S index and S·P feature slices (varints, seven bits
             a byte, the lowest first); CRC-32 of all this (little-endian);
             in versions 5 and 6, in front of the CRC, an extension: length, then records of type (1: sphere, 2: EXIF,
             3: focus, three bytes each, 4: place in a stream), length and content
    mask     which tokens are kept (absent when none is)
    indices  slice s holds the token rows r ≡ s (mod S): a lost slice leaves no two neighbouring rows empty; files have
             one slice of all rows
    features part p of slice s holds a run of its kept tokens: lost with its index slice, never with another. A stream's
             packet without parts (P = 0) has them in its index slices, behind the indices
    trailer  CRC-32 of the whole, in files only

On the air each slice travels in a segment with a CRC of its own, and the trailer is left out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from panolink.codec.resolution import FROM_BPP, SMALLEST_SIDE, WHOLE
from panolink.errors import BitstreamError, RateError
from panolink.sphere.focus import MOST_FOCI, Focus
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

MAGIC = b"PLK"
VERSION = 4
EXTENDED_VERSION = 5
"""of packets whose header has metadata; a release that does not know them refuses them by their version"""
STREAM_VERSION = 6
"""of packets whose extension says more than metadata: without it, tokens decode to something else"""
MAX_SIDE = 1 << 16
MAX_PIXELS = 1 << 27
"""16384×8192; a header of a few bytes must not be able to ask for more memory than that"""
MAX_SLICES = 1 << 16
_SPHERE, _EXIF, _FOCUS, _STREAM = 1, 2, 3, 4  # types of records in the extension


class Layer(StrEnum):
    """What a slice carries, in the order of a packet and of protection."""

    HEADER = "header"
    MASK = "mask"
    INDICES = "indices"
    FEATURES = "features"


@dataclass(frozen=True)
class Slice:
    """One independently decodable piece; ``payload`` is None where it was lost."""

    layer: Layer
    payload: bytes | None


@dataclass(frozen=True)
class StreamPlace:
    """Which packet of a stream this is, and what it is predicted from (`panolink.codec.streaming`).

    Attributes
    ----------
    number : int
        Of the packet, from 1.
    reference : int
        Number of the packet after which the state is that it is predicted from; 0: a whole picture.
    turn : int
        Columns of tokens by which the reference is turned to the right.
    shares : (int, int)
        Of changed tokens, and of new ones among them: see `panolink.codec.streaming.kind_coding`.
    """

    number: int
    reference: int = 0
    turn: int = 0
    shares: tuple[int, int] = (0, 0)

    def to_bytes(self) -> bytes:
        """Varints; how far back the reference is in place of its number."""
        back = self.number - self.reference if self.reference else 0
        rest = varint(self.turn) + bytes(self.shares) if back else b""
        return varint(self.number) + varint(back) + rest

    @classmethod
    def from_bytes(cls, data: bytes) -> StreamPlace:
        """Inverse of `to_bytes`; `BitstreamError` where it makes no sense."""
        reader = _Reader(data, 0)
        number, back = reader.varint(), reader.varint()
        if number < 1 or back >= number:
            raise BitstreamError(f"packet {number} of a stream is predicted from the one {back} before it")
        if not back:
            return cls(number)
        return cls(number, number - back, reader.varint(), (reader.take(1)[0], reader.take(1)[0]))


@dataclass(frozen=True)
class Header:
    """The packet's header slice: what is needed to read the rest."""

    fingerprint: str
    """of the model, 16 hexadecimal digits"""
    width: int
    """of the panorama, pixels"""
    height: int
    reduction: Fraction
    """factor by which the sides were reduced before coding, a multiple of 1/2"""
    step: int
    """quantisation step at the equator, quarter octaves, −128…127"""
    index_slices: int
    """S"""
    parts: int
    """P, feature slices per index slice"""
    lengths: tuple[int, ...]
    """bytes of the mask (0: none), then of each index and feature slice"""
    sphere: SphereMetadata = NOTHING_KNOWN
    """how the camera stood, and which part of the sphere was photographed"""
    exif: bytes = b""
    """in files only, and only where it was asked for"""
    focus: tuple[Focus, ...] = ()
    """where somebody looks: steps grow away from there"""
    stream: StreamPlace | None = None
    """of a packet that is one of a stream"""

    @property
    def version(self) -> int:
        """Version of the bitstream that it takes."""
        if self.focus or self.stream:
            return STREAM_VERSION
        return EXTENDED_VERSION if self.sphere or self.exif else VERSION

    def to_bytes(self) -> bytes:
        """The header slice, with its CRC-32."""
        extension = _extension(self.sphere, self.exif, self.focus, self.stream)
        fixed = MAGIC + bytes([self.version]) + bytes.fromhex(self.fingerprint)
        halves = int(2 * self.reduction)
        numbers = (self.width, self.height, halves, self.step & 0xFF, self.index_slices, self.parts, *self.lengths)
        body = fixed + b"".join(varint(number) for number in numbers) + extension
        return body + struct.pack("<I", zlib.crc32(body))

    @classmethod
    def parse(cls, data: bytes) -> tuple[Header, int]:
        """Read the header at the start of ``data``.

        Returns
        -------
        header : Header
        length : int
            Its bytes in ``data``.

        Raises
        ------
        BitstreamError
            Where there is no header, it is damaged or of another version, or it asks for more than the limits.
        """
        if data[:3] != MAGIC:
            raise BitstreamError("not a Panolink packet: it does not start with 'PLK'")
        if len(data) < 12 or not VERSION <= data[3] <= STREAM_VERSION:
            version = data[3:4].hex() or "none"
            raise BitstreamError(
                f"packet of version {version}; this release reads versions {VERSION} to {STREAM_VERSION}"
            )
        reader = _Reader(data, 12)
        width, height, halves, step, index_slices, parts = (reader.varint() for _ in range(6))
        if not (SMALLEST_SIDE <= width <= MAX_SIDE and SMALLEST_SIDE <= height <= MAX_SIDE):
            raise BitstreamError(f"packet of {width}×{height} pixels; each side must be {SMALLEST_SIDE} to {MAX_SIDE}")
        if Fraction(halves, 2) not in FROM_BPP:
            raise BitstreamError(f"packet reduced by {halves / 2:g}; known are {', '.join(str(r) for r in FROM_BPP)}")
        if not (0 < index_slices * (1 + parts) <= MAX_SLICES):
            raise BitstreamError(f"packet of {index_slices}×{1 + parts} slices; 1 to {MAX_SLICES} are allowed")
        if width * height > MAX_PIXELS:
            raise BitstreamError(f"packet of {width}×{height} pixels; at most {MAX_PIXELS} are allowed")
        lengths = tuple(reader.varint() for _ in range(1 + index_slices * (1 + parts)))
        extension = reader.take(reader.varint()) if data[3] > VERSION else b""
        end = reader.position
        if data[end : end + 4] != struct.pack("<I", zlib.crc32(data[:end])):
            raise BitstreamError("packet header is corrupt or truncated: its checksum does not fit")
        step = step - 256 if step > 127 else step
        numbers = (data[4:12].hex(), width, height, Fraction(halves, 2), step, index_slices, parts, lengths)
        header = cls(*numbers, *_parse_extension(extension, width, height))
        if data[3] != header.version and STREAM_VERSION in (data[3], header.version):
            what = "without what that version is for" if data[3] == STREAM_VERSION else "with what a later one is for"
            raise BitstreamError(f"packet of version {data[3]} {what}")
        return header, end + 4


@dataclass(frozen=True)
class Packet:
    """A coded panorama. Slices stand in the order header, mask, indices, features."""

    header: Header
    slices: tuple[Slice, ...]

    @classmethod
    def build(
        cls,
        *,
        fingerprint: str,
        size: tuple[int, int],
        reduction: Fraction = WHOLE,
        step: int,
        mask: bytes,
        indices: Sequence[bytes],
        features: Sequence[bytes],
        focus: tuple[Focus, ...] = (),
        stream: StreamPlace | None = None,
    ) -> Packet:
        """Assemble a packet from its slices' payloads.

        Parameters
        ----------
        fingerprint : str
            Of the model, 16 hexadecimal digits.
        size : (height, width)
            Of the panorama, pixels.
        reduction : Fraction
            Factor by which the sides were reduced.
        step : int
            Quantisation step at the equator, quarter octaves.
        mask : bytes
            Empty where no token is kept.
        indices : sequence of S bytes
        features : sequence of S · P bytes, part by part
        focus : tuple of Focus
            With which the tokens were quantised.
        stream : StreamPlace, optional
            Where it is one of a stream.
        """
        parts = len(features) // len(indices)
        lengths = tuple(len(payload) for payload in (mask, *indices, *features))
        header = Header(
            fingerprint, size[1], size[0], reduction, step, len(indices), parts, lengths, focus=focus, stream=stream
        )
        return cls(header, cls._with_layers(header, header.to_bytes(), [mask, *indices, *features]))

    def with_metadata(self, sphere: SphereMetadata = NOTHING_KNOWN, exif: bytes = b"") -> Packet:
        """The same packet with metadata in its header; without any, its bytes are those of `build`."""
        header = replace(self.header, sphere=sphere, exif=exif)
        return replace(self, header=header, slices=(Slice(Layer.HEADER, header.to_bytes()), *self.slices[1:]))

    @classmethod
    def from_payloads(cls, payloads: Sequence[bytes | None]) -> Packet:
        """Assemble a packet from slices as received, None where lost.

        Raises
        ------
        BitstreamError
            Where the header was lost or is damaged, or slices do not have the lengths that it names.
        """
        if not payloads or payloads[0] is None:
            raise BitstreamError("the packet's header was lost; nothing can be decoded without it")
        header, length = Header.parse(payloads[0])
        if length != len(payloads[0]):
            raise BitstreamError(f"packet header of {len(payloads[0])} bytes; its content ends after {length}")
        rest: list[bytes | None] = list(payloads[1:])
        if header.lengths[0] == 0:
            rest.insert(0, b"")
        if len(rest) != len(header.lengths):
            raise BitstreamError(f"packet has {len(rest)} slices after its header, which names {len(header.lengths)}")
        for number, (payload, length) in enumerate(zip(rest, header.lengths, strict=True), start=1):
            if payload is not None and len(payload) != length:
                raise BitstreamError(f"slice {number} has {len(payload)} bytes, the header says {length}")
        return cls(header, cls._with_layers(header, payloads[0], rest))

    @staticmethod
    def _with_layers(header: Header, head: bytes, rest: Sequence[bytes | None]) -> tuple[Slice, ...]:
        layers = [Layer.MASK] + [Layer.INDICES] * header.index_slices
        layers += [Layer.FEATURES] * (header.index_slices * header.parts)
        slices = [Slice(layer, payload) for layer, payload in zip(layers, rest, strict=True)]
        return (Slice(Layer.HEADER, head), *(slices if header.lengths[0] else slices[1:]))

    @classmethod
    def from_bytes(cls, data: bytes) -> Packet:
        """Read the content of a ``.plk`` file.

        Raises
        ------
        BitstreamError
            Where it is corrupt, truncated or of another version.
        """
        header, position = Header.parse(data)
        if len(data) != position + sum(header.lengths) + 4:
            wanted = position + sum(header.lengths) + 4
            raise BitstreamError(f"packet of {len(data)} bytes where its header names {wanted}: truncated or padded")
        if data[-4:] != struct.pack("<I", zlib.crc32(data[:-4])):
            raise BitstreamError("packet is corrupt: its checksum does not fit")
        payloads: list[bytes | None] = [data[:position]]
        for number, length in enumerate(header.lengths):
            if number or length:
                payloads.append(data[position : position + length])
            position += length
        return cls.from_payloads(payloads)

    def to_bytes(self) -> bytes:
        """The content of a ``.plk`` file.

        Raises
        ------
        BitstreamError
            Where slices were lost: such a packet cannot be written.
        """
        if any(piece.payload is None for piece in self.slices):
            raise BitstreamError("a packet with lost slices cannot be written")
        body = b"".join(piece.payload or b"" for piece in self.slices)
        return body + struct.pack("<I", zlib.crc32(body))

    @property
    def fingerprint(self) -> str:
        """Of the model that encoded it, 16 hexadecimal digits."""
        return self.header.fingerprint

    @property
    def width(self) -> int:
        """Of the panorama, pixels."""
        return self.header.width

    @property
    def height(self) -> int:
        """Of the panorama, pixels."""
        return self.header.height

    def payloads(self, layer: Layer) -> list[bytes | None]:
        """Of the slices of a layer, in order; None where lost."""
        return [piece.payload for piece in self.slices if piece.layer is layer]

    @property
    def bits(self) -> dict[str, int]:
        """Bits by layer as sent, lost ones included; the header with a file's trailer."""
        lengths, slices = self.header.lengths, self.header.index_slices
        head = len(self.slices[0].payload or b"") + 4
        layers = (head, lengths[0], sum(lengths[1 : 1 + slices]), sum(lengths[1 + slices :]))
        return {str(layer): 8 * count for layer, count in zip(Layer, layers, strict=True)}

    @property
    def bpp(self) -> float:
        """All bits of the packet ÷ pixels."""
        return sum(self.bits.values()) / (self.width * self.height)


class _Reader:
    """Reads varints from ``data``, from ``position`` on; errors say what it is, ``what``."""

    def __init__(self, data: bytes, position: int, what: str = "packet header") -> None:
        self.data, self.position, self.what = data, position, what

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if self.position + count > len(self.data):
            raise BitstreamError(f"{self.what} is truncated")
        self.position += count
        return self.data[self.position - count : self.position]

    def varint(self) -> int:
        """The next number: seven bits a byte, least significant first."""
        value = shift = 0
        while shift < 35:
            if self.position >= len(self.data):
                raise BitstreamError(f"{self.what} is truncated")
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise BitstreamError(f"{self.what} holds a number of more than 35 bits")


def varint(value: int) -> bytes:
    """A non-negative number in as few bytes as it takes, seven bits each, least significant first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, what: str) -> tuple[int, int]:
    """The number at the start of ``data``, and how many bytes it takes; `BitstreamError` that names ``what`` these are
    where there is none."""
    reader = _Reader(data, 0, what)
    return reader.varint(), reader.position


def metadata_bits(
    sphere: SphereMetadata = NOTHING_KNOWN, exif: bytes = b"", *, stream: StreamPlace | None = None
) -> int:
    """Bits that metadata, and the place in a stream, take in a packet's header, at most."""
    return 8 * len(_extension(sphere, exif, stream=stream))


def _extension(
    sphere: SphereMetadata, exif: bytes, focus: tuple[Focus, ...] = (), stream: StreamPlace | None = None
) -> bytes:
    """Records of type, length and content, behind their length; empty where there is nothing to say."""
    records = [(_SPHERE, sphere.to_bytes())] if sphere else []
    records += [(_EXIF, exif)] if exif else []
    records += [(_FOCUS, b"".join(one.to_bytes() for one in focus))] if focus else []
    records += [(_STREAM, stream.to_bytes())] if stream else []
    body = b"".join(bytes([kind]) + varint(len(content)) + content for kind, content in records)
    return varint(len(body)) + body if body else b""


def _parse_extension(
    data: bytes, width: int, height: int
) -> tuple[SphereMetadata, bytes, tuple[Focus, ...], StreamPlace | None]:
    """What `_extension` wrote; records of types that are not known are skipped."""
    reader, found = _Reader(data, 0), {}
    while reader.position < len(data):
        kind = reader.take(1)[0]
        found[kind] = reader.take(reader.varint())
    sphere = found.get(_SPHERE)
    known = SphereMetadata.from_bytes(sphere, width=width, height=height) if sphere is not None else NOTHING_KNOWN
    stream = StreamPlace.from_bytes(found[_STREAM]) if _STREAM in found else None
    return known, found.get(_EXIF, b""), _parse_focus(found.get(_FOCUS, b"")), stream


def _parse_focus(data: bytes) -> tuple[Focus, ...]:
    if len(data) % 3 or len(data) > 3 * MOST_FOCI:
        raise BitstreamError(f"packet header has {len(data)} bytes of foci; it may hold {MOST_FOCI} of three bytes")
    try:
        return tuple(Focus.from_bytes(data[start : start + 3]) for start in range(0, len(data), 3))
    except RateError as error:
        raise BitstreamError(f"packet header has a focus that is none: {error}") from None
