"""Boxes of JPEG 2000 files that Pillow passes over: colours, pose and EXIF."""

import io

import numpy as np
import pytest
from PIL import Image

from panolink.images import load_panorama, read_picture
from panolink.images.jp2 import jp2_info
from panolink.images.metadata import xmp_of
from panolink.images.mp4_boxes import box, boxes
from panolink.sphere.metadata import SphereMetadata
from tests.images.pictures import CASES, PICTURE, encoded

SPHERE = SphereMetadata(heading=123, pitch=4, roll=-5)
XMP = xmp_of(SPHERE, width=32, height=16)
XMP_ID, EXIF_ID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), b"JpgTiffExif->JP2"


def jp2(picture: np.ndarray, *, profile: bytes = b"", after: bytes = b"") -> bytes:
    """A JP2 file with an ICC profile in the place of sRGB, and boxes behind its header."""
    made = b""
    for kind, content in boxes(encoded(picture, "JPEG2000")):
        if kind == b"jp2h" and profile:
            colour = box(b"colr", b"\x02\0\0" + profile)
            content = b"".join(colour if inner == b"colr" else box(inner, rest) for inner, rest in boxes(content))
        made += box(kind, content) + (after if kind == b"jp2h" else b"")
    return made


@pytest.mark.parametrize("file", ["sat_adobe.png", "sat_p3.png"])
def test_profiles_are_converted(file: str):
    with Image.open(CASES / file) as case:
        stored, profile = np.asarray(case.convert("RGB"))[:32, :64], case.info["icc_profile"]
    assert jp2_info(io.BytesIO(jp2(stored, profile=profile))) == {"icc_profile": profile}
    shown, expected = load_panorama(jp2(stored, profile=profile)), load_panorama(CASES / file)[:32, :64]
    assert np.abs(shown.astype(int) - expected).max() <= 2 < np.abs(stored.astype(int) - expected).max()


@pytest.mark.parametrize("first", ["xmp", "exif"])
def test_pose_and_exif(first: str):
    exif = Image.Exif()
    exif[0x010F] = "Ricoh"
    tiff = exif.tobytes().removeprefix(b"Exif\0\0")
    found = [box(b"uuid", XMP_ID + XMP), box(b"uuid", EXIF_ID + tiff), box(b"uuid", bytes(16) + b"another's")]
    picture = read_picture(jp2(PICTURE, after=b"".join(found if first == "xmp" else found[::-1])))
    assert picture.sphere == SPHERE and picture.exif == tiff
    assert np.array_equal(picture.array, PICTURE)


def test_what_says_nothing():
    with Image.open(io.BytesIO(encoded(PICTURE, "JPEG2000"))) as image:
        assert "icc_profile" not in image.info
    plain = encoded(PICTURE, "JPEG2000")
    codestream = next(content for kind, content in boxes(plain) if kind == b"jp2c")
    for data in (plain, codestream, plain[:40], plain[:12] + box(b"jp2h", b"\0\0\0\x63colr"), b""):
        file = io.BytesIO(data)
        assert jp2_info(file) == {} and file.tell() == 0
