"""What goes over the network of a file: its pixels, colours, orientation and GPano, and nothing of its owner."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from panolink.images import read_picture
from panolink.images.metadata import xmp_of
from panolink.images.mp4_boxes import box
from panolink.images.stripping import has_fixed_metadata, without_private_metadata
from panolink.sphere.metadata import SphereMetadata
from tests.images.pictures import CASES, encoded

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
SPHERE = SphereMetadata(90, 5, -3)
SECRETS = (b"RICOH", b"SN-4711", b"Berlin", b"2026:11")


def private(format: str, orientation: int) -> bytes:
    """A picture with pose, orientation and profile, and with camera, serial number, place, time and a comment."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = orientation, "RICOH", "2026:11:27 04:00:00"
    exif.get_ifd(0x8769)[0xA431] = "SN-4711"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 0.0)})
    xmp = xmp_of(SPHERE, width=64, height=32).replace(
        b"<rdf:Description ", b'<rdf:Description photoshop:City="Berlin" '
    )
    with Image.open(CASES / "sat_p3.png") as case:
        options: dict = {"exif": exif, "icc_profile": case.info["icc_profile"]}
    image, buffer = Image.fromarray(PICTURE), io.BytesIO()
    if orientation in (5, 6, 7, 8):
        image = image.transpose(Image.Transpose.TRANSPOSE)
    if format == "PNG":
        info = PngInfo()
        info.add_text("Comment", "Berlin")
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options["pnginfo"] = info
    else:
        options["xmp"] = xmp
    if format == "JPEG":
        options["comment"] = "Berlin"
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_picture_stays_and_the_rest_goes(format: str, orientation: int):
    data = private(format, orientation)
    assert all(secret in data for secret in SECRETS)
    stripped = without_private_metadata(data)
    assert not any(secret in stripped for secret in SECRETS)
    before, after = read_picture(data), read_picture(stripped)
    assert np.array_equal(before.array, after.array) and after.sphere == before.sphere == SPHERE
    with Image.open(io.BytesIO(stripped)) as image:
        assert not image.getexif().get_ifd(0x8825) and image.info.get("icc_profile")
    assert without_private_metadata(stripped) == stripped


def test_the_cases_of_a_camera():
    data = (CASES / "theta.jpg").read_bytes()
    stripped = without_private_metadata(data)
    assert b"RICOH" in data and b"RICOH" not in stripped
    before, after = read_picture(data), read_picture(stripped)
    assert np.array_equal(before.array, after.array) and before.sphere == after.sphere
    for name in ("crop2to1.jpg", "crop_strip.jpg"):
        data = (CASES / name).read_bytes()
        assert read_picture(without_private_metadata(data)).sphere.crop == read_picture(data).sphere.crop


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_damaged_files_and_others_go_as_they_are(format: str):
    data = private(format, 1)
    for cut in range(2, len(data), 97):
        without_private_metadata(data[:cut])
    random = np.random.default_rng(0)
    for _ in range(50):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[random.integers(2, len(data), 10)] = random.integers(0, 256, 10)
        without_private_metadata(damaged.tobytes())
    assert without_private_metadata(b"no picture") == b"no picture"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1, "quality": 100}])
def test_further_pictures_behind_the_first_go_too(options: dict):
    """As cameras hide a preview there, or the other eye's picture, with an EXIF of its own."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(PICTURE)], **options)
    data = buffer.getvalue() + private("JPEG", 1)
    stripped = without_private_metadata(data)
    assert stripped.endswith(b"\xff\xd9") and len(stripped) < len(data) / 2 and b"MPF" not in stripped
    assert not any(secret in stripped for secret in SECRETS)
    assert np.array_equal(read_picture(stripped).array, read_picture(data).array)


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000"])
def test_formats_whose_metadata_stay_are_known(format: str):
    picture = Image.fromarray(PICTURE)
    plain = encoded(picture, format)
    assert not has_fixed_metadata(plain) and without_private_metadata(plain) == plain
    exif = Image.Exif()
    exif[0x010F] = "RICOH"
    if format == "AVIF":
        found = [encoded(picture, format, exif=exif), encoded(picture, format, xmp=xmp_of(SPHERE, width=64, height=32))]
    else:
        found = [plain + box(b"uuid", b"JpgTiffExif->JP2" + exif.tobytes()), plain + box(b"xml ", b"<a/>")]
    assert all(has_fixed_metadata(data) for data in found)
    assert not has_fixed_metadata(private("JPEG", 1)) and not has_fixed_metadata(b"")


def test_what_is_good_of_a_damaged_exif_is_not_sent():
    exif = b"Exif\0\0II*\0\xff\xff\xff\xffRICOH"
    sent = without_private_metadata(encoded(Image.fromarray(PICTURE), "JPEG", exif=exif))
    assert b"RICOH" not in sent and read_picture(sent).array.shape == PICTURE.shape
