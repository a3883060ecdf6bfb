"""Photo sphere metadata (GPano) in XMP, and what is kept of EXIF.

Read without an XML parser, for XMP comes from strangers: only numbers behind known names are looked for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import BinaryIO

from PIL import Image

from panolink.errors import ImageError
from panolink.images.projection import STEREO_ADVICE
from panolink.sphere.metadata import Crop, SphereMetadata

_SEARCHED = 1 << 20  # bytes of XMP: GPano stands in its first part
_OTHER_PROJECTIONS = ("cubemap", "cylindrical", "fisheye", "dualfisheye", "equi-angular", "rectilinear")
_CONVERTED = {"cubemap": " (--projection cubemap does)", "dualfisheye": " (--projection dfisheye does)"}
PHOTOGRAPHED = "urn:panolink:photographed:1"
"""Namespace of the properties that say which part of a sphere was photographed."""

_TIFF_EXIF = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
"""Description, make, model, software, time, artist and copyright."""
_ORIENTATION, _EXIF_IFD, _GPS_IFD, _MAKER_NOTE = 0x0112, 0x8769, 0x8825, 0x927C


def sphere_of(
    xmp: bytes | str, *, width: int, height: int, converted: bool = False
) -> tuple[SphereMetadata, Crop | None]:
    """What XMP says of a sphere; and, apart, the part of it that a picture of that size shows.

    Parameters
    ----------
    xmp : bytes | str
        As it stands in the file; empty where there is none.
    width, height : int
        Of the picture, in pixels.
    converted : bool
        The user has said which other projection it has: what it says of that itself, or of a crop, does not count.

    Returns
    -------
    The metadata, whose crop is a part that was filled in before; and the crop that the picture is, None for a
    whole one.

    Raises
    ------
    ImageError
        Another projection, or a crop that cannot be; names it.
    """
    text = xmp[:_SEARCHED].decode("utf-8", "replace") if isinstance(xmp, bytes) else xmp[:_SEARCHED]
    if "GPano" not in text:
        return SphereMetadata(), None
    heading, pitch, roll = (_number(text, "GPano", f"Pose{axis}Degrees") for axis in ("Heading", "Pitch", "Roll"))
    found = pose_of(heading, pitch, roll)
    if converted:
        return found, None
    projection = (_property(text, "GPano", "ProjectionType") or "").lower()
    if projection in _OTHER_PROJECTIONS:
        advice = f"convert it to equirectangular first{_CONVERTED.get(projection, '')}"
        raise ImageError(f"its metadata (GPano) says {projection}; {advice}")
    crop = _crop(text, "GPano", ("CroppedAreaLeftPixels", "CroppedAreaTopPixels"), "CroppedAreaImage", "FullPano")
    if crop is None or crop.whole:
        mark = _crop(text, "panolink", ("LeftPixels", "TopPixels"), "", "Full")
        return replace(found, crop=mark.scaled(width, height) if mark and mark.inside else None), None
    return found, _fitted(crop, width, height)


def sphere_of_video(
    xml: str, *, width: int, height: int, converted: bool = False
) -> tuple[SphereMetadata, Crop | None] | None:
    """What the XML of spherical video metadata, version 1, says; as `sphere_of`, or None where it says nothing.

    Its initial view is taken for the pose, which version 1 has not.

    Raises
    ------
    ImageError
        Stereo, another projection, or a crop that cannot be; names it.
    """
    if (_property(xml, "GSpherical", "Spherical") or "").lower() != "true":
        return None
    stereo = _property(xml, "GSpherical", "StereoMode") or "mono"
    if stereo.lower() != "mono":
        raise ImageError(f"stereo video, {stereo}, by its metadata; {STEREO_ADVICE}")
    angles = [_number(xml, "GSpherical", f"InitialView{axis}Degrees") for axis in ("Heading", "Pitch", "Roll")]
    if converted:
        return pose_of(*angles), None
    projection = (_property(xml, "GSpherical", "ProjectionType") or "equirectangular").lower()
    if projection != "equirectangular":
        advice = f"convert it to equirectangular first{_CONVERTED.get(projection, '')}"
        raise ImageError(f"its metadata (GSpherical) says {projection}; {advice}")
    crop = _crop(xml, "GSpherical", ("CroppedAreaLeftPixels", "CroppedAreaTopPixels"), "CroppedAreaImage", "FullPano")
    return pose_of(*angles), _fitted(crop, width, height) if crop and not crop.whole else None


def pose_of(heading: float | None, pitch: float | None, roll: float | None) -> SphereMetadata:
    """Angles in degrees as far as they can be: roll and heading go round, a pitch beyond 90 is not known."""
    return SphereMetadata(
        heading=None if heading is None else heading % 360,
        pitch=pitch if pitch is not None and abs(pitch) <= 90 else None,
        roll=None if roll is None else (roll + 180) % 360 - 180,
    )


def _fitted(crop: Crop, width: int, height: int) -> Crop:
    """A crop as the picture has it, which may have been made smaller since."""
    if not crop.inside:
        raise ImageError(f"its crop (GPano), {crop}, does not lie within the sphere")
    scale = width / crop.width
    if abs(crop.height * scale - height) > 2:
        raise ImageError(f"its crop (GPano), {crop}, has another shape than its {width}×{height} pixels")
    if scale == 1 and height == crop.height:
        return crop
    full = max(width, round(crop.full_width * scale)), max(height, round(crop.full_height * scale))
    left, top = min(round(crop.left * scale), full[0] - width), min(round(crop.top * scale), full[1] - height)
    return Crop(left, top, width, height, *full)


def _crop(text: str, space: str, corner: tuple[str, str], part: str, full: str) -> Crop | None:
    names = (*corner, f"{part}WidthPixels", f"{part}HeightPixels", f"{full}WidthPixels", f"{full}HeightPixels")
    numbers = [_number(text, space, name) for name in names]
    if any(number is None or abs(number) > 1 << 20 for number in numbers[2:]) or not all(numbers[2:]):
        return None
    left, top, *rest = (int(number or 0) for number in numbers)
    return Crop(left, top, *rest)  # type: ignore[call-arg]


def _property(text: str, space: str, name: str) -> str | None:
    """A property's value, be it an attribute or an element."""
    found = re.search(rf"\b{space}:{name}\s*(?:=\s*[\"']([^\"']{{0,100}})[\"']|>([^<]{{0,100}})<)", text)
    return (found[1] or found[2] or "").strip() if found else None


def _number(text: str, space: str, name: str) -> float | None:
    try:
        value = float(_property(text, space, name) or "")
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


def xmp_in(image: Image.Image) -> bytes:
    """The XMP of a Pillow image as it stands in the file; empty where there is none."""
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if not found and image.format == "TIFF":
        found = image.tag_v2.get(700, b"")  # type: ignore[attr-defined]
    return found.encode() if isinstance(found, str) else bytes(found)


def xmp_of(sphere: SphereMetadata, *, width: int, height: int) -> bytes:
    """XMP that makes viewers show a picture of that size as a sphere, in UTF-8.

    What was filled in is marked by properties of our own, for to viewers the sphere is whole.
    """
    values: dict[str, object] = {"GPano:ProjectionType": "equirectangular", "GPano:UsePanoramaViewer": "True"}
    pose = {"Heading": sphere.heading, "Pitch": sphere.pitch, "Roll": sphere.roll}
    values |= {f"GPano:Pose{axis}Degrees": f"{angle:g}" for axis, angle in pose.items() if angle is not None}
    values |= {"GPano:CroppedAreaLeftPixels": 0, "GPano:CroppedAreaTopPixels": 0}
    for name in ("CroppedAreaImage", "FullPano"):
        values |= {f"GPano:{name}WidthPixels": width, f"GPano:{name}HeightPixels": height}
    if crop := sphere.crop and sphere.crop.scaled(width, height):
        values |= {"panolink:LeftPixels": crop.left, "panolink:TopPixels": crop.top}
        values |= {"panolink:WidthPixels": crop.width, "panolink:HeightPixels": crop.height}
        values |= {"panolink:FullWidthPixels": width, "panolink:FullHeightPixels": height}
    spaces = {"GPano": "http://ns.google.com/photos/1.0/panorama/"} | ({"panolink": PHOTOGRAPHED} if crop else {})
    attributes = " ".join(
        [f'xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items()]
        + [f'{name}="{value}"' for name, value in values.items()]
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {attributes}/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def tiff_exif(file: BinaryIO) -> bytes:
    """What a TIFF file has of EXIF, as a structure of its own: camera, time, place and rights, without what describes
    its pixels. Empty where there is none, or it cannot be read; the file is rewound.
    """
    try:
        if file.read(4) == b"MM\0+":  # a BigTIFF that Pillow misreads
            return b""
        file.seek(0)
        found, own = Image.Exif(), Image.Exif()
        found.load_from_fp(file)
        own.update({tag: found[tag] for tag in _TIFF_EXIF if tag in found})
        for ifd in (_EXIF_IFD, _GPS_IFD):
            if inner := found.get_ifd(ifd):
                own.get_ifd(ifd).update(inner)
        return own.tobytes().removeprefix(b"Exif\0\0") if len(own) else b""
    except Exception:  # a damaged EXIF is no reason to refuse a picture
        return b""
    finally:
        file.seek(0)


def kept_exif(exif: bytes) -> bytes:
    """EXIF (TIFF structure, without its `Exif` prefix) as `--keep-metadata` keeps it: all but the orientation, which is
    applied, thumbnails, and the maker's note, which only the maker can read. Empty where nothing is left, or readable.
    """
    if not exif:
        return b""
    found = Image.Exif()
    try:
        found.load(exif)
        kept = Image.Exif()
        for tag, value in found.items():
            if tag not in (_ORIENTATION, _EXIF_IFD, _GPS_IFD):
                kept[tag] = value
        for ifd in (_EXIF_IFD, _GPS_IFD):
            inner = {tag: value for tag, value in found.get_ifd(ifd).items() if tag != _MAKER_NOTE}
            if inner:
                kept.get_ifd(ifd).update(inner)
        return kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else b""
    except Exception:  # a damaged EXIF is no reason to refuse a picture
        return b""
