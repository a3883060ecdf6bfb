"""What a JPEG 2000 file (JP2) says beside its codestream, which Pillow passes over: its ICC profile, XMP and EXIF."""

from __future__ import annotations

from typing import BinaryIO

from panolink.errors import ImageError
from panolink.images.mp4_boxes import boxes, top_boxes

_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF = b"JpgTiffExif->JP2"
_ICC_METHODS = (2, 3)  # restricted, and any (ISO/IEC 15444-1, I.5.3.3, and 15444-2, M.11.7.3)
_MAX_BOX = 1 << 24  # bytes of the boxes that are looked at


def jp2_info(file: BinaryIO) -> dict[str, bytes]:
    """What stands in the boxes of a JP2 file, by Pillow's names: `icc_profile`, `xmp`, `exif`; the file is rewound.

    Parameters
    ----------
    file : BinaryIO
        A JP2 file, or a bare codestream, which says nothing.
    """
    found: dict[str, bytes] = {}
    file.seek(0)
    if file.read(len(_SIGNATURE)) == _SIGNATURE:
        for start, size, kind in top_boxes(file):
            if kind not in (b"jp2h", b"uuid") or size > _MAX_BOX:
                continue
            file.seek(start + 8)
            content = file.read(size - 8)
            if kind == b"jp2h":
                found |= _profile(content)
            elif content.startswith(_XMP):
                found.setdefault("xmp", content[len(_XMP) :])
            elif content.startswith(_EXIF):
                found.setdefault("exif", content[len(_EXIF) :])
    file.seek(0)
    return found


def _profile(header: bytes) -> dict[str, bytes]:
    try:
        inner = boxes(header)
    except ImageError:  # whoever decodes it says what is wrong
        return {}
    for kind, content in inner:
        if kind == b"colr" and content[:1] and content[0] in _ICC_METHODS:
            return {"icc_profile": content[3:]}
    return {}
