"""One picture: its header, then its pixels as uint8 RGB in sRGB, upright, a whole sphere."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from panolink.errors import ImageError, LimitError, PanolinkError
from panolink.images import formats
from panolink.images.colour import BT709, notes_on_profile, signal_to_srgb, to_rgb8
from panolink.images.formats import FORMATS, MAX_PIXELS, MIN_SIDE, SNIFFED_BYTES, Opened, check_limit
from panolink.images.hdr import open_exr, open_pfm, open_radiance
from panolink.images.jp2 import jp2_info
from panolink.images.jxl import open_jxl
from panolink.images.metadata import sphere_of, tiff_exif, xmp_in
from panolink.images.orientation import TURNED, orientation_of, upright
from panolink.images.png import png_info
from panolink.images.projection import Projector, advice_by_shape, check_content, note_of
from panolink.images.tiff import PILLOW_COMPRESSIONS, open_tiff
from panolink.sphere.filling import place_crop
from panolink.sphere.metadata import LENS_DEGREES, NOTHING_KNOWN, Crop, Projection, SphereMetadata

_NOT_SAID = 2  # a code point of H.273
_SRGB_TRANSFERS = (1, 6, 13, 14, 15)  # BT.709, 601, sRGB, 2020: shown as they are

_pillow_settings = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A picture as it is coded, and what its file says beside the pixels.

    Attributes
    ----------
    array : NDArray[np.uint8]
        uint8 sRGB (H, W, 3).
    sphere : SphereMetadata
        How the camera stood, and which part was photographed.
    exif : bytes
        As it stands in the file; empty where there is none.
    notes : tuple[str, ...]
        What the user should be told: frames that were left out, light that was tone-mapped, a crop that was placed.
    """

    array: NDArray[np.uint8]
    sphere: SphereMetadata = NOTHING_KNOWN
    exif: bytes = b""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Header:
    """What a file says before it is decoded: the picture, its place on the sphere, and the size that it will have."""

    opened: Opened
    sphere: SphereMetadata
    crop: Crop | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole sphere."""
        crop = self.crop
        return (crop.full_width, crop.full_height) if crop else (self.opened.width, self.opened.height)


def load_panorama(
    source: str | Path | bytes,
    *,
    name: str = "",
    allow_any_aspect: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Read a picture as sRGB: upright, alpha on black, colours converted, light without a limit tone-mapped.

    Parameters
    ----------
    source : str | Path | bytes
        A path, or the encoded bytes.
    name : str
        What error messages call it; the path where empty.
    allow_any_aspect : bool
        Take pictures that are not twice as wide as high.
    max_pixels : int
        The largest width × height to decode.

    Returns
    -------
    uint8 (H, W, 3). A picture whose GPano metadata say that it is a crop comes out as the whole sphere.

    Raises
    ------
    ImageError
        Not a picture, truncated, a side under 16 pixels, or not 2:1.
    LimitError
        More than `max_pixels`.
    """
    return read_picture(source, name=name, allow_any_aspect=allow_any_aspect, max_pixels=max_pixels).array


def read_picture(
    source: str | Path | bytes,
    *,
    name: str = "",
    projection: Projection = Projection.EQUIRECTANGULAR,
    lens_degrees: float = LENS_DEGREES,
    allow_any_aspect: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """As `load_panorama`, with what the file says beside the pixels.

    Parameters
    ----------
    projection : Projection
        `CUBEMAP` and `DFISHEYE` are converted, whatever the file says of itself; with `AUTO`, a picture that shows two
        fisheyes is refused.
    lens_degrees : float
        Field of view of each lens of a double fisheye (`panolink.images.projection.Projector`).
    """
    name = name or _name_of(source)
    convert = projection in (Projection.CUBEMAP, Projection.DFISHEYE)
    with _header(source, name, max_pixels, converted=convert) as header:
        of_crop = f"{name}: its crop (GPano), {header.crop}" if header.crop else name
        projector = Projector(*header.size, projection, lens_degrees=lens_degrees) if convert else None
        size = projector.size if projector else header.size
        check_limit(*size, max_pixels, name)
        check_aspect(*size, allow_any_aspect, of_crop)
        opened = header.opened
        array = opened.decode()
        notes, sphere = opened.notes, header.sphere
        if crop := header.crop:
            array, sphere = place_crop(array, crop), replace(sphere, crop=crop)
            notes += (f"a crop, {crop}, was placed on the sphere and the rest filled in",)
        if projector:
            array, notes = projector.convert(array), (*notes, note_of(projection, lens_degrees))
        elif projection is Projection.AUTO and not sphere:
            check_content(array)
        return Picture(array, sphere, opened.exif, notes)


def picture_size(source: str | Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels of the panorama that a picture gives, from its header alone.

    Raises
    ------
    ImageError
        Not a picture.
    LimitError
        More than `max_pixels`.
    """
    with _header(source, name or _name_of(source), max_pixels) as header:
        return header.size


def _name_of(source: str | Path | bytes) -> str:
    return "image" if isinstance(source, bytes) else str(source)


@contextmanager
def _header(source: str | Path | bytes, name: str, max_pixels: int, *, converted: bool = False) -> Iterator[_Header]:
    """A picture whose header has been read and is within the limit; what goes wrong, then or later, as our errors."""
    try:
        with _file(source) as file:
            opened = _open(file, max_pixels)
            check_limit(opened.width, opened.height, max_pixels, name)
            sphere, crop = sphere_of(opened.xmp, width=opened.width, height=opened.height, converted=converted)
            header = _Header(opened, sphere, crop)
            check_limit(*header.size, max_pixels, f"{name}: its crop (GPano), {crop}" if crop else name)
            yield header
    except PanolinkError as error:
        if str(error).startswith(f"{name}: "):
            raise
        raise type(error)(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: {_not_an_image(source)}") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: a folder, not an image") from None
    except PermissionError:
        raise ImageError(f"{name}: may not be read (permission denied)") from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ImageError(f"{name}: truncated or damaged image ({_one_line(error)})") from error


@contextmanager
def _file(source: str | Path | bytes) -> Iterator[BinaryIO]:
    """A file to read and seek in; what cannot be sought, such as a pipe, is read once."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    with open(source, "rb") as file:
        yield file if file.seekable() else io.BytesIO(file.read())


def _open(file: BinaryIO, max_pixels: int) -> Opened:
    head = file.read(SNIFFED_BYTES)
    file.seek(0)
    match formats.format_of(head):
        case "HDR":
            return open_radiance(file)
        case "PFM":
            return open_pfm(file)
        case "EXR":
            return open_exr(file)
        case "TIFF":
            exif = tiff_exif(file)
            found = 0 if _pillow_reads(file) else open_tiff(file, max_pixels)
            file.seek(0)
            opened = found if isinstance(found, Opened) else _open_with_pillow(file, head, max_pixels, page=found)
            return replace(opened, exif=exif)
        case "HEIF":
            formats.decoder_package("pillow_heif", "HEIC").register_heif_opener()
            return _open_with_pillow(file, head, max_pixels, also="HEIF")
        case "JXL":
            return open_jxl(file)
        case "JPEG2000":
            return _open_with_pillow(file, head, max_pixels, more=jp2_info(file))
        case "PNG":
            return _open_with_pillow(file, head, max_pixels, more=png_info(file))
    return _open_with_pillow(file, head, max_pixels)


def _pillow_reads(file: BinaryIO) -> bool:
    """Whether a TIFF has one page, of a kind that Pillow reads well: then no other package is needed."""
    try:
        if file.read(4) == b"MM\0+":  # a BigTIFF of the byte order of which it misreads the header
            return False
        file.seek(0)
        with _pillow_open(file, ("TIFF",)) as image:
            tags = image.tag_v2  # type: ignore[attr-defined]
            bits, planar, kind = tags.get(258, (1,)), tags.get(284, 1), set(tags.get(339, (1,)))
            plain = max(bits) <= 8 or (bits == (16,) and tags.get(262) == 1)
            plain = plain and planar == 1 and kind == {1} and tags.get(259, 1) in PILLOW_COMPRESSIONS
            return plain and not tags.get(254, 0) and image.n_frames == 1  # type: ignore[attr-defined]
    except Exception:  # what it is said to be wrong with is told by whoever reads it
        return False
    finally:
        file.seek(0)


def _pillow_open(file: BinaryIO, allowed: tuple[str, ...]) -> Image.Image:
    """Read the header. Pillow's own limit, partly a warning, is set aside: ours comes right after."""
    with _pillow_settings:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=allowed)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise LimitError(f"{size[0]}×{size[1]} pixels is more than the {max_pixels} allowed")


def _open_with_pillow(
    file: BinaryIO,
    head: bytes,
    max_pixels: int,
    *,
    page: int = 0,
    also: str = "",
    more: Mapping[str, bytes] = MappingProxyType({}),
) -> Opened:
    """A picture that Pillow reads: that page of it; `also` is a format beside ours, `more` has metadata that Pillow
    passes over, or comes to only later."""
    image = _pillow_open(file, (*FORMATS, also) if also else FORMATS)
    _check_size(image.size, max_pixels)
    if profile := more.get("icc_profile"):
        image.info["icc_profile"] = profile
    pages, notes = getattr(image, "n_frames", 1), ()
    if pages > 1 and image.format != "MPO":  # an MPO's second picture is a preview, or the other eye's
        what = "page" if image.format == "TIFF" else "frame"
        notes = (f"{what} {page + 1} of {pages} was taken, the others left out",)
    notes += notes_on_profile(image.info.get("icc_profile"))
    if page:
        image.seek(page)
        _check_size(image.size, max_pixels)
    primaries, transfer = formats.code_points(head)

    def decode() -> NDArray[np.uint8]:
        rgb = to_rgb8(image)
        said = transfer != _NOT_SAID and (transfer not in _SRGB_TRANSFERS or primaries not in (BT709, _NOT_SAID))
        if said and not image.info.get("icc_profile"):
            rgb = signal_to_srgb(rgb / np.float32(255), primaries, transfer)
        turned = upright(rgb, orientation_of(image))
        if turned.shape[:2] != (height, width):  # of a PNG, all of which is read by now
            raise ImageError(
                f"it is to be turned by EXIF that stands behind its pixels, from {width}×{height} to "
                f"{turned.shape[1]}×{turned.shape[0]}; save it turned"
            )
        return turned

    width, height = _size_as_shown(image)
    own_exif = more.get("exif") or image.info.get("exif") or b""
    return Opened(width, height, decode, more.get("xmp") or xmp_in(image), own_exif.removeprefix(b"Exif\0\0"), notes)


def _size_as_shown(image: Image.Image) -> tuple[int, int]:
    """Width and height from the header alone."""
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info:
        return width, height  # all of it would be decoded to look for EXIF behind the pixels
    if image.format == "TIFF" and image.size != (image.tag_v2.get(256), image.tag_v2.get(257)):  # type: ignore[attr-defined]
        return width, height  # Pillow has turned it already
    return (height, width) if orientation_of(image) in TURNED else (width, height)


def is_sphere(width: int, height: int) -> bool:
    """Whether a picture is 2:1, as a whole sphere is; two pixels of slack, for stitchers round."""
    return abs(width - 2 * height) <= 2


def check_aspect(width: int, height: int, allow_any_aspect: bool, name: str) -> None:
    """`ImageError` for what is not a panorama: a side under 16 pixels, or not 2:1."""
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{name}: {width}×{height} is too small; each side has to be {MIN_SIDE} pixels or more")
    if not is_sphere(width, height) and not allow_any_aspect:
        raise ImageError(
            f"{name}: {width}×{height} is not 2:1, so not a full equirectangular panorama "
            f"(--any-aspect, or allow_any_aspect=True, takes it all the same{advice_by_shape(width, height)})"
        )


def _not_an_image(source: str | Path | bytes) -> str:
    if isinstance(source, bytes):
        head = source[:SNIFFED_BYTES]
    elif not Path(source).is_file():  # a pipe, whose beginning has been read
        return "not an image that can be read"
    else:
        with open(source, "rb") as file:
            head = file.read(SNIFFED_BYTES)
    if formats.is_video(head):
        return "a video, not an image (panolink send takes videos, frame by frame)"
    if head.startswith(b"PLK"):
        return "a Panolink packet, not an image"
    return "not an image that can be read" if head else "empty"


def _one_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
