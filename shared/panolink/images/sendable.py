"""A picture as a file that any transmitter can read and takes: as it is where that will do, else without loss."""

from __future__ import annotations

import io

from PIL import Image

from panolink.errors import LimitError
from panolink.images.formats import MOST_SIDE, SNIFFED_BYTES, format_of
from panolink.images.metadata import xmp_of
from panolink.images.read import Picture, read_picture
from panolink.images.stripping import has_fixed_metadata, without_private_metadata
from panolink.images.wire_pictures import RAW_HEADER_BYTES, encode_picture
from panolink.images.write import encode_png
from panolink.picture_format import PictureFormat

_CONVERTED = frozenset({"BMP", "EXR", "GIF", "HDR", "HEIF", "JXL", "PFM", "TIFF"})
"""Formats that a transmitter need not know, or in which metadata are not looked for."""


def sendable(data: bytes, *, max_bytes: int, name: str, allow_any_aspect: bool = False) -> bytes:
    """A picture's file without its private metadata; as `sendable_picture` where a transmitter may not know its format,
    it is too large, or they cannot be taken out of it.

    Raises
    ------
    ImageError, LimitError
        It is of no known format; has to be read, and cannot be; or is too large in any form.
    """
    if (file := sendable_file(data, max_bytes=max_bytes)) is not None:
        return file
    return sendable_picture(
        read_picture(data, name=name, allow_any_aspect=allow_any_aspect), max_bytes=max_bytes, name=name
    )


def sendable_file(data: bytes, *, max_bytes: int) -> bytes | None:
    """A file without its private metadata and with its pixels as they are coded, None where it cannot go so."""
    format = format_of(data[:SNIFFED_BYTES])
    if not format or format in _CONVERTED or has_fixed_metadata(data):
        return None
    file = without_private_metadata(data)
    return file if file is not None and len(file) <= max_bytes else None


def sendable_picture(picture: Picture, *, max_bytes: int, name: str, raw: bool = False) -> bytes:
    """Pixels and pose as PNG, or as lossless WebP where that is too large.

    Parameters
    ----------
    raw : bool
        As they are (PPM) where that is not too large and no pose is known: for frames of a video, of which PNG here
        and there takes longer than the networks.

    Raises
    ------
    LimitError
        Both are; says what to do.
    """
    height, width = picture.array.shape[:2]
    if raw and not picture.sphere and picture.array.nbytes + RAW_HEADER_BYTES <= max_bytes:
        return encode_picture(picture.array, PictureFormat.RGB8)
    data = encode_png(picture.array, sphere=picture.sphere)
    if len(data) > max_bytes and max(width, height) <= MOST_SIDE["WEBP"]:
        buffer = io.BytesIO()
        options = {"xmp": xmp_of(picture.sphere, width=width, height=height)} if picture.sphere else {}
        Image.fromarray(picture.array).save(buffer, "WEBP", lossless=True, quality=0, method=1, **options)
        data = min(data, buffer.getvalue(), key=len)
    if len(data) > max_bytes:
        raise LimitError(
            f"{name}: {width}×{height} pixels take {len(data) >> 20} MiB without loss, and the transmitter takes "
            f"{max_bytes >> 20} MiB: send a smaller picture or a JPEG, or raise PANOLINK_TRANSMITTER_MAX_IMAGE_BYTES"
        )
    return data
