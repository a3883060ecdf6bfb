"""EXIF and the like taken out of picture files, whose pixels stay as they are coded: before they go over the network.

Only what reading a picture needs stays: its coded pixels, their colours, the orientation, and what its XMP says of the
sphere. Anything else goes, be it known here or not: place, time, serial numbers, comments, thumbnails, signatures.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from panolink.images.formats import SNIFFED_BYTES, format_of
from panolink.images.jp2 import is_plain_codestream
from panolink.images.metadata import PHOTOGRAPHED, xmp_in
from panolink.images.mp4_boxes import FULL_BOX, boxes, top_boxes
from panolink.images.orientation import orientation_of
from panolink.images.png import SIGNATURE, XMP_KEYWORD
from panolink.images.write import png_chunk, png_xmp_chunk

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ORIENTATION, _SHORT = 0x0112, 3
_OF_SPHERE = re.compile(
    r"\b((?:GPano|panolink):(?:ProjectionType|Pose(?:Heading|Pitch|Roll)Degrees|\w{1,40}Pixels))"
    r"\s*(?:=\s*[\"']([^\"'<>&]{0,100})[\"']|>([^<>&]{0,100})<)"
)
"""What `panolink.images.metadata.sphere_of` looks at."""
_XMP_FORM = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
    f'xmlns:panolink="{PHOTOGRAPHED}" {{}}/></rdf:RDF></x:xmpmeta>'
)

_EOI, _SOS, _APP0, _APP1 = 0xD9, 0xDA, 0xE0, 0xE1
_JPEG_CODING = frozenset({*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD} - {0xC8})
"""Markers of frames, tables, scans, numbers of lines, and restart intervals (ITU-T T.81, table B.1)."""
_JPEG_KEPT = {_APP0: (b"JFIF\0", 14), 0xE2: (b"ICC_PROFILE\0", 1 << 16), 0xEE: (b"Adobe", 12)}
"""Application segments that say how the coded data are meant: marker, name, and how many bytes of each are kept."""
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Of a segment behind coded data, in which 0xFF is followed by 0x00 or is that of a restart marker; without fill bytes,
of which an erased memory card has millions, to be looked at once each."""

_PNG_KEPT = frozenset(b"IHDR PLTE IDAT IEND tRNS cICP iCCP sRGB gAMA cHRM sBIT mDCV cLLI".split())
_PNG_TEXT = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_PNG_KEYWORDS = (XMP_KEYWORD, b"Raw profile type ")
"""Of texts that are metadata, the second as ImageMagick writes them."""
_ONE_PIXEL = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))

_WEBP_KEPT = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04  # flags of VP8X
_FRAME_HEADER = 16  # bytes of an ANMF before its own chunks

_PLAIN_PPM = re.compile(rb"P6\n(\d{1,9}) (\d{1,9})\n255\n")

_PIXEL_BOXES = {"AVIF": (b"ftyp", b"meta", b"mdat"), "JPEG2000": (b"jP  ", b"ftyp", b"jp2h", b"jp2c")}
_INNER_BOXES = {
    b"jp2h": frozenset((b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"res ")),
    b"res ": frozenset((b"resc", b"resd")),
    b"meta": frozenset((b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"idat", b"grpl")),
    b"iprp": frozenset((b"ipco", b"ipma")),
    b"ipco": frozenset(
        (
            *(b"ispe", b"pixi", b"av1C", b"colr", b"auxC", b"irot", b"imir", b"clap", b"pasp"),
            *(b"clli", b"mdcv", b"cclv", b"amve", b"a1op", b"a1lx", b"lsel"),
        )
    ),
}
"""What of boxes that hold others is of the pixels (ISO/IEC 15444-1, I.5.3; 23008-12; and AVIF)."""
_PIXEL_ITEMS = (b"av01", b"grid", b"iden", b"iovl", b"tmap")


def without_private_metadata(data: bytes) -> bytes | None:
    """A JPEG, PNG or WebP without what its owner may not want to send; files of other formats as they are.

    None for one that is not as its standard says, and for a PPM of more than pixels: what hides in it is not known,
    though it may be readable.
    """
    try:
        match format_of(data[:SNIFFED_BYTES]):
            case "JPEG":
                return _jpeg(data)
            case "PNG":
                return _png(data)
            case "WEBP":
                return _webp(data)
            case "PPM":
                return data if _is_plain_ppm(data) else None
    except Exception:  # Pillow, which reads the metadata, raises nearly anything on damaged ones
        return None
    return data


def has_fixed_metadata(data: bytes) -> bool:
    """Whether an AVIF or JPEG 2000 file has more than is known to be of its pixels, such as EXIF, XMP or a comment,
    which cannot be taken out without moving them.

    Of other formats it is not known: never.
    """
    format = format_of(data[:SNIFFED_BYTES])
    if format not in _PIXEL_BOXES:
        return False
    try:
        if data.startswith(b"\xff"):  # a JPEG 2000 codestream without boxes
            return not is_plain_codestream(data)
        return not _is_plain(data, _PIXEL_BOXES[format])
    except Exception:  # of a damaged one, what hides in it is not known
        return True


def _is_plain(data: bytes, kinds: tuple[bytes, ...]) -> bool:
    """Whether a file has boxes of these kinds alone, in which nothing is that is not of the pixels."""
    end = 0
    for start, size, kind in top_boxes(io.BytesIO(data)):
        content = data[start + (16 if data[start : start + 4] == b"\0\0\0\1" else 8) : start + size]
        if kind not in kinds or not _is_plain_box(kind, content):
            return False
        end = start + size
    return end == len(data)


def _is_plain_box(kind: bytes, content: bytes) -> bool:
    match kind:
        case b"jp2c":
            return is_plain_codestream(content)
        case b"iinf":  # a full box, whose number of entries has 2 bytes in version 0, and 4 in others
            entries = boxes(content[FULL_BOX + (4 if content[0] else 2) :])
            return all(entry == b"infe" and _item_type(item) in _PIXEL_ITEMS for entry, item in entries)
    if kind not in _INNER_BOXES:
        return True
    inner = boxes(content[FULL_BOX:] if kind == b"meta" else content)
    return all(one in _INNER_BOXES[kind] and _is_plain_box(one, within) for one, within in inner)


def _item_type(entry: bytes) -> bytes:
    """Of an entry of `iinf`: behind an id of 2 bytes in version 2, of 4 in version 3, and 2 of protection."""
    at = FULL_BOX + {2: 4, 3: 6}[entry[0]]
    return entry[at : at + 4]


def _is_plain_ppm(data: bytes) -> bool:
    """Whether it is as programs write it, such as `wire_pictures` for frames of videos: without a comment, and with
    nothing behind its pixels."""
    head = _PLAIN_PPM.match(data)
    return head is not None and len(data) == head.end() + 3 * int(head[1]) * int(head[2])


def _kept_metadata(image: Image.Image) -> tuple[bytes, bytes]:
    """EXIF, in TIFF structure, and XMP of what a Pillow image says and has to stay; each empty where there is none.

    EXIF is made anew of the orientation that reading finds, wherever it stands.
    """
    xmp, orientation = _kept_xmp(xmp_in(image)), orientation_of(image)
    if not 2 <= orientation <= 8:
        return b"", xmp
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, _ORIENTATION, _SHORT, 1, orientation, 0, 0), xmp


def _kept_xmp(xmp: bytes) -> bytes:
    """XMP with nothing but the sphere; empty where it says nothing of one."""
    text = xmp.decode("utf-8", "replace")
    if "GPano" not in text:
        return b""
    found: dict[str, str] = {}
    for name, attribute, element in _OF_SPHERE.findall(text):
        found.setdefault(name, (attribute or element).strip())
    return _XMP_FORM.format(" ".join(f'{name}="{value}"' for name, value in found.items())).encode() if found else b""


def _with_info(**info: bytes) -> Image.Image:
    """A Pillow image that has the metadata of a file, but not its pixels."""
    image = Image.new("L", (1, 1))
    image.info.update({name: value for name, value in info.items() if value})
    return image


def _jpeg(data: bytes) -> bytes:
    """The first picture of a file; previews, gain maps, or the other eye's (MPF) behind it are not read, and go."""
    kept: list[bytes] = []
    exif: list[bytes] = []
    xmp, at, scanned = b"", 2, False
    while (marker := _marker(data, at))[1] != _EOI:
        at, kind = marker
        size = 2 + struct.unpack_from(">H", data, at + 2)[0]
        body = data[at + 4 : at + size]
        if size < 4 or len(body) != size - 4:
            raise ValueError("truncated")
        name, most = _JPEG_KEPT.get(kind, (b"", 0))
        if kind in _JPEG_CODING:
            kept.append(data[at : at + size])
        elif not (0xE0 <= kind <= 0xEF or kind == 0xFE):  # application segments and comments
            raise ValueError("an unknown marker")
        elif scanned:
            pass  # nothing but coding is read from there on
        elif name and body.startswith(name):
            kept.append(_segment(kind, body[:most] if kind != _APP0 else body[:12].ljust(14, b"\0")))
        elif kind == _APP1 and body.startswith(_EXIF):
            exif.append(body.removeprefix(_EXIF))
        elif kind == _APP1 and body.startswith(_XMP):
            xmp = body.removeprefix(_XMP)
        at += size
        if kind == _SOS:
            scanned = True
            end = _JPEG_MARKER.search(data, at)
            if end is None:
                raise ValueError("truncated")
            kept.append(data[at : end.start()])
            at = end.start()
    new_exif, new_xmp = _kept_metadata(_with_info(exif=b"".join(exif), xmp=xmp))
    new = [_segment(_APP1, name + body) for name, body in ((_EXIF, new_exif), (_XMP, new_xmp)) if body]
    first = 1 if kept and kept[0][1] == _APP0 else 0  # JFIF stands in front of all others
    return b"".join((data[:2], *kept[:first], *new, *kept[first:], bytes((0xFF, _EOI))))


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """Place and kind of the marker that stands there, behind any number of fill bytes."""
    if data[at] != 0xFF:
        raise ValueError("no marker")
    while data[at + 1] == 0xFF:
        at += 1
    return at, data[at + 1]


def _segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">H", 2 + len(body)) + body


def _png(data: bytes) -> bytes:
    """The first picture of a file, up to the end that it names; the further frames of an animation go."""
    kept, at, kind, has_pixel = [], len(SIGNATURE), b"", False
    # Metadata may be compressed, and stand behind the pixels: Pillow reads them of a file whose picture is one pixel.
    small = [SIGNATURE, _ONE_PIXEL]
    while kind != b"IEND":
        (size,) = struct.unpack_from(">I", data, at)
        kind, chunk = data[at + 4 : at + 8], data[at : at + 12 + size]
        if len(chunk) != 12 + size:
            raise ValueError("truncated")
        if kind in _PNG_KEPT:
            kept.append(chunk)
        if kind == b"eXIf" or (kind in _PNG_TEXT and chunk[8:].startswith(_PNG_KEYWORDS)):
            small.append(chunk)
        elif kind == b"IDAT" and not has_pixel:
            small.append(png_chunk(b"IDAT", zlib.compress(b"\0\0")))
            has_pixel = True
        at += 12 + size
    with Image.open(io.BytesIO(b"".join((*small, kept[-1]))), formats=["PNG"]) as image:
        image.load()  # what stands behind the pixels, too
        exif, xmp = _kept_metadata(image)
    new = [png_chunk(b"eXIf", exif)] if exif else []
    if xmp:
        new.append(png_xmp_chunk(xmp))
    return b"".join((SIGNATURE, kept[0], *new, *kept[1:]))


def _webp(data: bytes) -> bytes:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise ValueError("truncated")
    kept, found, flags = [], {}, 0
    for kind, body in _webp_chunks(data[12:end]):
        if kind == b"VP8X":
            if kept:
                raise ValueError("a header that is not the first chunk")
            flags = body[0]
            body = bytes([flags & ~(_WEBP_EXIF | _WEBP_XMP)]) + body[1:10]
        if kind == b"ANMF":
            inner = (one for one in _webp_chunks(body[_FRAME_HEADER:]) if one[0] in _WEBP_KEPT)
            body = body[:_FRAME_HEADER] + b"".join(_webp_chunk(*one) for one in inner)
        if kind in (b"VP8 ", b"VP8L", b"ALPH") and kind in found:
            raise ValueError("a second picture")
        if kind in _WEBP_KEPT:
            kept.append((kind, body))
        found.setdefault(kind, body)
    # Where its flag is not set, a chunk is not read.
    exif, xmp = flags & _WEBP_EXIF and found.get(b"EXIF", b""), flags & _WEBP_XMP and found.get(b"XMP ", b"")
    exif, xmp = _kept_metadata(_with_info(exif=exif or b"", xmp=xmp or b""))
    if exif or xmp:
        kind, body = kept[0]
        kept[0] = kind, bytes([body[0] | (_WEBP_EXIF if exif else 0) | (_WEBP_XMP if xmp else 0)]) + body[1:]
        kept += [one for one in ((b"EXIF", exif), (b"XMP ", xmp)) if one[1]]
    content = b"WEBP" + b"".join(_webp_chunk(*one) for one in kept)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        kind, (size,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        body = data[at + 8 : at + 8 + size]
        if len(body) != size:
            raise ValueError("truncated")
        yield kind, body
        at += 8 + size + size % 2


def _webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
