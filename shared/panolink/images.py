"""Pictures in and out: whatever a user has, as uint8 RGB panoramas `(H, W, 3)`, or a clear error.

Nothing is decoded before its header says that it fits: the size is checked first, so a small file that
unpacks to gigabytes costs nothing.
"""

import io
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from panolink.errors import ImageError, LimitError, PanolinkError

MAX_PIXELS = 16384 * 8192
MIN_SIDE = 16

# Not all that Pillow knows: EPS, for one, would start an interpreter on a stranger's bytes.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})

_PNG_ROWS = 256  # filtered at a time
_PNG_SUB = 1  # the filter that takes the left neighbour away
_PNG_COLOUR = {1: 0, 3: 2}  # grey, RGB

_pillow_settings = threading.Lock()


@dataclass(frozen=True)
class Panorama:
    """A picture that can be sent: where it came from, its pixels, uint8 RGB `(H, W, 3)`, and its file if it has one."""

    name: str
    array: np.ndarray
    file: Path | None = None
    """None for a frame of a video"""


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why. The files after it are still read."""

    name: str
    error: PanolinkError


def load_panorama(
    source: str | Path | bytes,
    *,
    name: str = "",
    allow_any_aspect: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Read a picture as RGB: upright by its EXIF orientation, alpha on black, 16 bits scaled to 8.

    Args:
        source: a path, or the encoded bytes, in one of `FORMATS`.
        name: what error messages call it; the path where empty.
        allow_any_aspect: take pictures that are not twice as wide as high.
        max_pixels: the largest width × height to decode.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        ImageError: not a picture, truncated, a side under 16 pixels, or not 2:1.
        LimitError: more than `max_pixels`.
    """
    name = name or ("image" if isinstance(source, bytes) else str(source))
    with _opened(source, name, max_pixels) as image:
        _check_shape(*_upright_size(image), allow_any_aspect, name)
        return _to_rgb(ImageOps.exif_transpose(image))


def count_pixels(source: str | Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS) -> int:
    """Width × height of a picture, from its header alone.

    Raises:
        ImageError: not a picture.
        LimitError: more than `max_pixels`.
    """
    with _opened(source, name or ("image" if isinstance(source, bytes) else str(source)), max_pixels) as image:
        return image.width * image.height


@contextmanager
def _opened(source: str | Path | bytes, name: str, max_pixels: int) -> Iterator[Image.Image]:
    """A picture whose header has been read and is within the limit; what goes wrong, then or later, as our errors."""
    try:
        with _open(source) as image:
            _check_limit(image.width, image.height, max_pixels, name)
            yield image
    except PanolinkError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: {_not_an_image(source)}") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: a folder, not an image") from None
    except PermissionError:
        raise ImageError(f"{name}: may not be read (permission denied)") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageError(f"{name}: truncated or damaged image ({_one_line(error)})") from error


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 `(H, W, 3)` at a size (height, width), by Lanczos; the image itself where it has that size."""
    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS))


def save_image(array: np.ndarray, path: str | Path) -> None:
    """Write uint8 `(H, W, 3)` in the format of the path's extension; WebP lossless, JPEG at quality 95.

    Raises:
        ImageError: an extension that names no format, or a place that cannot be written.
    """
    path = Path(path)
    options: dict[str, Any] = {}
    match path.suffix.lower():
        case ".webp":
            options = {"lossless": True}
        case ".jpg" | ".jpeg":
            options = {"quality": 95, "subsampling": 0}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path, **options)
    except ValueError:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise ImageError(f"{path}: unknown image extension {path.suffix!r}; use one of {known}") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({_one_line(error)})") from error


def encode_png(array: np.ndarray) -> bytes:
    """uint8 `(H, W, 3)`, or grey `(H, W)`, as a PNG file in memory.

    Written for speed, as a receiver does it for every panorama: half the time that Pillow takes, for five percent more
    bytes. Pillow tries all filters on each row; here every row is the difference to the left neighbour.
    """
    height, width = array.shape[:2]
    step = array.shape[2] if array.ndim == 3 else 1
    rows = array.reshape(height, width * step)
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
    data = []
    for start in range(0, height, _PNG_ROWS):
        part = rows[start : start + _PNG_ROWS]
        filtered = np.empty((len(part), 1 + width * step), np.uint8)
        filtered[:, 0] = _PNG_SUB
        filtered[:, 1 : 1 + step] = part[:, :step]
        np.subtract(part[:, step:], part[:, :-step], out=filtered[:, 1 + step :])
        data.append(deflate.compress(filtered.data))
    data.append(deflate.flush())
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_COLOUR[step], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        for kind, content in ((b"IHDR", header), (b"IDAT", b"".join(data)), (b"IEND", b""))
    )


def panoramas_in(
    paths: Iterable[str | Path], *, allow_any_aspect: bool = False, max_pixels: int = MAX_PIXELS
) -> Iterator[Panorama | Failure]:
    """All panoramas of files, folders (their images and videos, sorted by name) and videos (frame by frame).

    One picture is held at a time. What cannot be used comes out as a `Failure`, and the rest goes on.
    """
    for path in map(Path, paths):
        for file in _files(path):
            if isinstance(file, Failure):
                yield file
            elif file.suffix.lower() in VIDEO_SUFFIXES:
                yield from _frames(file, allow_any_aspect, max_pixels)
            else:
                try:
                    array = load_panorama(file, allow_any_aspect=allow_any_aspect, max_pixels=max_pixels)
                    yield Panorama(str(file), array, file)
                except PanolinkError as error:
                    yield Failure(str(file), error)


def _files(path: Path) -> Iterator[Path | Failure]:
    if not path.is_dir():
        yield path
        return
    found = [p for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES]
    if not found:
        yield Failure(str(path), ImageError(f"{path}: no images or videos in this folder"))
    yield from found


def _frames(path: Path, allow_any_aspect: bool, max_pixels: int) -> Iterator[Panorama | Failure]:
    """Frames of a video, named `path#0001`, `path#0002` …; damage in the middle ends it with a Failure."""
    # Only videos need it, and it loads FFmpeg.
    import av
    import av.error

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ImageError(f"{path}: no video stream")
            stream = container.streams.video[0]
            _check_limit(stream.width, stream.height, max_pixels, str(path))
            _check_shape(stream.width, stream.height, allow_any_aspect, str(path))
            for number, frame in enumerate(container.decode(stream), start=1):
                yield Panorama(f"{path}#{number:04d}", frame.to_ndarray(format="rgb24"))
    except PanolinkError as error:
        yield Failure(str(path), error)
    except (av.error.FFmpegError, OSError) as error:
        yield Failure(str(path), ImageError(f"{path}: not a readable video ({_one_line(error)})"))


def _open(source: str | Path | bytes) -> Image.Image:
    """Read the header. Pillow's own limit, partly a warning, is set aside: ours comes right after."""
    with _pillow_settings:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        grey = np.asarray(image)
        # Pillow opens 16-bit PNGs as "I;16" or "I", depending on its version; floats are taken as [0, 1].
        scaled = grey * 255.0 if image.mode == "F" else grey / 257.0
        return np.repeat(np.clip(np.rint(scaled), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.array(image.convert("RGB"))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after the EXIF orientation (5 to 8 turn by 90°)."""
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else image.size


def _check_limit(width: int, height: int, max_pixels: int, name: str) -> None:
    if width * height > max_pixels:
        raise LimitError(f"{name}: {width}×{height} pixels is more than the {max_pixels} allowed")


def _check_shape(width: int, height: int, allow_any_aspect: bool, name: str) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{name}: {width}×{height} is too small; each side has to be {MIN_SIDE} pixels or more")
    # Two pixels of slack: stitchers round.
    if abs(width - 2 * height) > 2 and not allow_any_aspect:
        raise ImageError(
            f"{name}: {width}×{height} is not 2:1, so not a full equirectangular panorama "
            "(--any-aspect, or allow_any_aspect=True, takes it all the same)"
        )


def _not_an_image(source: str | Path | bytes) -> str:
    empty = len(source) == 0 if isinstance(source, bytes) else Path(source).stat().st_size == 0
    return "empty" if empty else "not an image that can be read"


def _one_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
