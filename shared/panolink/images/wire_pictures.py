"""Received pictures as files in the format that was asked for, and back."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from panolink.errors import LimitError, PanolinkError
from panolink.images.formats import MAX_PIXELS, MOST_SIDE, check_limit
from panolink.images.jpeg_scans import check_scans
from panolink.images.metadata import sphere_of, xmp_in, xmp_of
from panolink.images.write import encode_png
from panolink.picture_format import JPEG_QUALITY, PictureFormat
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

_PILLOW = {b"\x89PNG": "PNG", b"RIFF": "WEBP", b"\xff\xd8\xff": "JPEG", b"P6": "PPM"}
RAW_HEADER_BYTES = 4096
"""that a raw picture's file has at most beyond its pixels"""

_SPHERE = b"# panolink sphere "
_NAME = "a received picture"


def encode_picture(array: NDArray[np.uint8], format: PictureFormat, *, sphere: SphereMetadata | None = None) -> bytes:
    """A picture as a file.

    Parameters
    ----------
    array : uint8 (H, W, 3)
    format : PictureFormat
    sphere : SphereMetadata, optional
        Written into the file, where the picture is a sphere.

    Raises
    ------
    LimitError
        A side is longer than the format allows (`panolink.images.formats.MOST_SIDE`).
    """
    height, width = array.shape[:2]
    if max(width, height) > (most := MOST_SIDE.get(format.name, MAX_PIXELS)):
        raise LimitError(f"a picture of {width}x{height} has no room in a {format.value} file: {most} a side at most")
    if format is PictureFormat.PNG:
        return encode_png(array, sphere=sphere)
    if format is PictureFormat.RGB8:
        comment = b"" if sphere is None else _SPHERE + sphere.to_bytes().hex().encode() + b"\n"
        return b"P6\n%b%d %d\n255\n%b" % (comment, width, height, np.ascontiguousarray(array).data)
    options: dict[str, Any] = {} if sphere is None else {"xmp": xmp_of(sphere, width=width, height=height)}
    if format is PictureFormat.WEBP:
        options |= {"lossless": True, "quality": 0, "method": 0}
    else:
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
    file = io.BytesIO()
    Image.fromarray(array).save(file, format.value, **options)
    return file.getvalue()


def decode_picture(data: bytes) -> tuple[NDArray[np.uint8], SphereMetadata]:
    """A picture, uint8 (H, W, 3), and what its file says of its sphere: the inverse of `encode_picture`.

    Raises
    ------
    PanolinkError
        Not a readable file of one of the formats, or of more than `MAX_PIXELS` pixels.
    """
    kind = next((name for start, name in _PILLOW.items() if data.startswith(start)), "")
    try:
        if kind == "PPM":
            return _from_ppm(data)
        check_scans(data, _NAME)
        with Image.open(io.BytesIO(data), formats=[kind] if kind else []) as image:
            check_limit(image.width, image.height, MAX_PIXELS, _NAME)
            sphere = sphere_of(xmp_in(image), width=image.width, height=image.height)[0]
            return np.asarray(image.convert("RGB")), sphere
    except LimitError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise PanolinkError(f"{_NAME} cannot be read: {error}") from None


def _from_ppm(data: bytes) -> tuple[NDArray[np.uint8], SphereMetadata]:
    """A file of `PictureFormat.RGB8`."""
    lines = data[:RAW_HEADER_BYTES].split(b"\n", 4)
    comment = lines.pop(1) if len(lines) > 1 and lines[1].startswith(_SPHERE) else b""
    magic, size, depth = lines[:3] if len(lines) > 2 else (b"", b"", b"")
    width, height = (int(side) for side in size.split()) if size.count(b" ") == 1 else (0, 0)
    start = len(magic) + len(size) + len(depth) + 3 + (len(comment) + 1 if comment else 0)
    if magic != b"P6" or depth != b"255" or min(width, height) < 1 or len(data) != start + 3 * width * height:
        raise ValueError("not a raw picture of the size that it names")
    sphere = NOTHING_KNOWN
    if comment:
        sphere = SphereMetadata.from_bytes(bytes.fromhex(comment[len(_SPHERE) :].decode()), width=width, height=height)
    return np.frombuffer(data, np.uint8, offset=start).reshape(height, width, 3), sphere
