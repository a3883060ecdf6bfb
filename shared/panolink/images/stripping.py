"""EXIF and the like taken out of picture files, whose pixels stay as they are coded: before they go over the network.

Place, time, serial numbers, comments and thumbnails go; the colour profile, the orientation and GPano stay, for without
them the picture would be another one.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from contextlib import suppress

from panolink.images.formats import SNIFFED_BYTES, format_of
from panolink.images.mp4_boxes import top_boxes

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ORIENTATION, _SHORT = 0x0112, 3
_GPANO = re.compile(r"\bGPano:(\w+)\s*(?:=\s*[\"']([^\"'<>&]{0,100})[\"']|>([^<>&]{0,100})<)")
_XMP_FORM = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" {}/>'
    "</rdf:RDF></x:xmpmeta>"
)
_PNG, _PNG_XMP = b"\x89PNG\r\n\x1a\n", b"XML:com.adobe.xmp\0\0\0\0\0"
_PNG_PRIVATE = (b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME")
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04  # flags of VP8X


def without_private_metadata(data: bytes) -> bytes:
    """A JPEG, PNG or WebP without what its owner may not want to send; other files, and damaged ones, as they are."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(_PNG):
            return _png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError, ValueError):
        pass  # whoever decodes it says what is wrong
    return data


def has_fixed_metadata(data: bytes) -> bool:
    """Whether an AVIF or JPEG 2000 file has EXIF, XMP or the like, which cannot be taken out without moving its pixels.

    Other formats, of which `without_private_metadata` takes them or which have none, never do.
    """
    format = format_of(data[:SNIFFED_BYTES])
    if format not in ("AVIF", "JPEG2000"):
        return False
    for start, size, kind in top_boxes(io.BytesIO(data)):
        if kind in (b"uuid", b"xml "):
            return True
        if kind == b"meta" and re.search(rb"infe.{8,12}(?:Exif|mime)", data[start : start + size], re.DOTALL):
            return True
    return False


def _kept_exif(exif: bytes) -> bytes:
    """EXIF with nothing but the orientation, in TIFF structure; empty where that is 1, or all of it damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return b""
    with suppress(struct.error):
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if tag == _ORIENTATION and kind == _SHORT and 2 <= value <= 8:
                return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, _ORIENTATION, _SHORT, 1, value, 0, 0)
    return b""


def _kept_xmp(xmp: bytes) -> bytes:
    """XMP with nothing but GPano; empty where there is none."""
    found = {name: attribute or element for name, attribute, element in _GPANO.findall(xmp.decode("utf-8", "replace"))}
    values = " ".join(f'GPano:{name}="{value.strip()}"' for name, value in found.items())
    return _XMP_FORM.format(values).encode() if found else b""


def _jpeg(data: bytes) -> bytes:
    """APP1 rewritten; IPTC (APP13), comments, and further pictures behind the first one (MPF) left out."""
    kept, at = [data[:2]], 2
    while data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
        marker, size = data[at + 1], 2 + struct.unpack_from(">H", data, at + 2)[0]
        segment = data[at : at + size]
        body = segment[4:]
        if len(segment) != size:
            raise ValueError("truncated")
        if marker == 0xE1:
            new = b""
            if body.startswith(_EXIF) and (exif := _kept_exif(body[len(_EXIF) :])):
                new = _EXIF + exif
            elif body.startswith(_XMP) and (xmp := _kept_xmp(body[len(_XMP) :])):
                new = _XMP + xmp
            segment = b"\xff\xe1" + struct.pack(">H", 2 + len(new)) + new if new else b""
        elif marker in (0xED, 0xFE) or (marker == 0xE2 and body.startswith(b"MPF\0")):
            segment = b""
        kept.append(segment)
        at += size
    return b"".join([*kept, data[at : _end_of_jpeg(data, at)]])


def _end_of_jpeg(data: bytes, at: int) -> int:
    """Behind the end marker of a JPEG whose first scan begins at `at`; `ValueError` where there is none."""
    while True:
        at = data.index(b"\xff", at) + 1
        marker = data[at]
        if marker == 0xD9:
            return at + 1
        if marker not in (0x00, 0xFF, *range(0xD0, 0xD8)):  # not of the coded data: a segment
            at += 1 + struct.unpack_from(">H", data, at + 1)[0]


def _png(data: bytes) -> bytes:
    kept, at = [_PNG], len(_PNG)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        chunk = data[at : at + 12 + size]
        if kind in _PNG_PRIVATE:
            new = b""
            if kind == b"eXIf":
                new = _kept_exif(body)
            elif body.startswith(_PNG_XMP) and (xmp := _kept_xmp(body[len(_PNG_XMP) :])):
                new = _PNG_XMP + xmp
            chunk = struct.pack(">I", len(new)) + kind + new + struct.pack(">I", zlib.crc32(kind + new)) if new else b""
        kept.append(chunk)
        at += 12 + size
    return b"".join(kept)


def _webp(data: bytes) -> bytes:
    kept, flags, at = [], 0, 12
    while at + 8 <= len(data):
        kind, (size,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        body = data[at + 8 : at + 8 + size]
        if kind == b"EXIF":
            body = _kept_exif(body.removeprefix(_EXIF))
            flags |= _WEBP_EXIF if body else 0
        elif kind == b"XMP ":
            body = _kept_xmp(body)
            flags |= _WEBP_XMP if body else 0
        if body or kind not in (b"EXIF", b"XMP "):
            kept.append([kind, body])
        at += 8 + size + size % 2
    for chunk in kept:
        if chunk[0] == b"VP8X":
            chunk[1] = bytes([chunk[1][0] & ~(_WEBP_EXIF | _WEBP_XMP) | flags]) + chunk[1][1:]
    body = b"".join(kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for kind, body in kept)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
