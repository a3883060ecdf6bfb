"""What goes over the network of a file: its pixels, colours, orientation and GPano, and nothing of its owner."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from panolink.images import read_picture
from panolink.images.metadata import xmp_of
from panolink.images.mp4_boxes import box
from panolink.images.sendable import sendable, sendable_file
from panolink.images.stripping import has_fixed_metadata, without_private_metadata
from panolink.images.write import encode_image, png_chunk
from panolink.sphere.metadata import Crop, SphereMetadata
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


def stripped_of(data: bytes) -> bytes:
    stripped = without_private_metadata(data)
    assert stripped is not None
    return stripped


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_picture_stays_and_the_rest_goes(format: str, orientation: int):
    data = private(format, orientation)
    assert all(secret in data for secret in SECRETS)
    stripped = stripped_of(data)
    assert not any(secret in stripped for secret in SECRETS)
    before, after = read_picture(data), read_picture(stripped)
    assert np.array_equal(before.array, after.array) and after.sphere == before.sphere == SPHERE
    with Image.open(io.BytesIO(stripped)) as image:
        assert not image.getexif().get_ifd(0x8825) and image.info.get("icc_profile")
    assert without_private_metadata(stripped) == stripped


def test_the_cases_of_a_camera():
    data = (CASES / "theta.jpg").read_bytes()
    stripped = stripped_of(data)
    assert b"RICOH" in data and b"RICOH" not in stripped
    before, after = read_picture(data), read_picture(stripped)
    assert np.array_equal(before.array, after.array) and before.sphere == after.sphere
    for name in ("crop2to1.jpg", "crop_strip.jpg"):
        data = (CASES / name).read_bytes()
        assert read_picture(stripped_of(data)).sphere.crop == read_picture(data).sphere.crop


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_damaged_files_are_not_stripped_and_others_go_as_they_are(format: str):
    data = private(format, 1)
    for cut in range(12, len(data) - 1, 97):
        assert without_private_metadata(data[:cut]) is None
    random = np.random.default_rng(0)
    for _ in range(50):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[random.integers(2, len(data), 10)] = random.integers(0, 256, 10)
        without_private_metadata(damaged.tobytes())
    assert without_private_metadata(b"no picture") == b"no picture"


def segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">H", 2 + len(body)) + body


def behind_jfif(more: bytes) -> bytes:
    """A JPEG with something behind its first segment."""
    data = private("JPEG", 1)
    at = 4 + struct.unpack_from(">H", data, 4)[0]
    return data[:at] + more + data[at:]


def riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def with_jfif_thumbnail() -> bytes:
    data = private("JPEG", 1)
    body = data[6:18] + b"\x02\x01SN-471"
    return data[:2] + segment(0xE0, body) + data[4 + struct.unpack_from(">H", data, 4)[0] :]


def with_hidden() -> dict[str, bytes]:
    """Files that are read, with what a list of known metadata would miss."""
    jpeg, png, webp = private("JPEG", 1), private("PNG", 1), private("WEBP", 1)
    tables = jpeg.index(b"\xff\xdb")
    ends = png.rindex(b"IEND") - 4
    animated = io.BytesIO()
    frames = [Image.fromarray(PICTURE), Image.fromarray(PICTURE[::-1].copy())]
    frames[0].save(animated, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    frame = animated.getvalue().index(b"ANMF")
    size = struct.unpack_from("<I", animated.getvalue(), frame + 4)[0]
    of_frame = webp_chunk(b"ANMF", animated.getvalue()[frame + 8 : frame + 8 + size] + webp_chunk(b"MINE", b"SN-4711"))
    moving = animated.getvalue()[12:frame] + of_frame + animated.getvalue()[frame + 8 + size + size % 2 :]
    return {
        "JPEG: fill byte before EXIF": behind_jfif(b"\xff"),
        "JPEG: fill byte before tables": jpeg[:tables] + b"\xff" + jpeg[tables:],
        "JPEG: GoPro": behind_jfif(segment(0xE6, b"GoPro\0DEVC....CASNSN-4711")),
        "JPEG: Ricoh": behind_jfif(segment(0xE5, b"RMETA\0SN-4711")),
        "JPEG: C2PA": behind_jfif(segment(0xEB, b"JP\0\x01jumb c2pa SN-4711")),
        "JPEG: JFXX": behind_jfif(segment(0xE0, b"JFXX\0\x10SN-4711")),
        "JPEG: JFIF's thumbnail": with_jfif_thumbnail(),
        "JPEG: behind the end": jpeg + b"SN-4711",
        "JPEG: between scans": jpeg[:-2] + segment(0xFE, b"SN-4711") + jpeg[-2:],
        "PNG: newline behind": png + b"\n",
        "PNG: behind the end": png + b"SN-4711",
        "PNG: a chunk of its own": png[:ends] + png_chunk(b"prVt", b"SN-4711") + png[ends:],
        "WebP: newline behind": webp + b"\n",
        "WebP: C2PA": riff(webp[12:] + webp_chunk(b"C2PA", b"SN-4711")),
        "WebP: in a frame": riff(moving),
    }


@pytest.mark.parametrize("case", with_hidden())
def test_what_is_not_known_goes_too(case: str):
    data = with_hidden()[case]
    stripped = stripped_of(data)
    assert b"SN-4711" in data and not any(secret in stripped for secret in SECRETS)
    before, after = read_picture(data), read_picture(stripped)
    assert np.array_equal(before.array, after.array) and before.sphere == after.sphere


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(private("JPEG", 1).replace(b"\xff\xdb", b"SN-4711\xff\xdb", 1), id="JPEG: between segments"),
        pytest.param(private("PNG", 1)[:-12], id="PNG without an end"),
    ],
)
def test_what_cannot_be_taken_apart_goes_as_pixels(data: bytes):
    assert without_private_metadata(data) is None
    sent = sendable(data, max_bytes=1 << 20, name="a")
    assert not any(secret in sent for secret in SECRETS)
    before, after = read_picture(data), read_picture(sent)
    assert np.array_equal(before.array, after.array) and before.sphere == after.sphere


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_that_only_xmp_has_stays(format: str):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="3" photoshop:City="Berlin"/></x:xmpmeta>'
    if format == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        data = encoded(PICTURE, format, pnginfo=info)
    else:
        data = encoded(PICTURE, format, xmp=xmp)
    stripped = stripped_of(data)
    assert np.array_equal(read_picture(data).array, read_picture(stripped).array) and b"Berlin" not in stripped
    assert stripped_of(stripped) == stripped


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_part_that_was_photographed_stays(suffix: str):
    sphere = SphereMetadata(heading=10, crop=Crop(0, 5, 64, 15, 64, 32))
    data = encode_image(PICTURE, suffix, sphere=sphere)
    assert read_picture(data).sphere == read_picture(stripped_of(data)).sphere == sphere


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1, "quality": 100}])
def test_further_pictures_behind_the_first_go_too(options: dict):
    """As cameras hide a preview there, or the other eye's picture, with an EXIF of its own."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(PICTURE)], **options)
    data = buffer.getvalue() + private("JPEG", 1)
    stripped = stripped_of(data)
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
        found = [
            encoded(picture, format, exif=exif),
            encoded(picture, format, xmp=xmp_of(SPHERE, width=64, height=32)),
            within(plain, [b"meta", b"iprp", b"ipco"], box(b"udes", b"\0\0\0\0en\0RICOH\0\0\0")),
            within(plain, [b"meta"], box(b"uuid", bytes(16) + b"RICOH")),
        ]
        assert np.array_equal(read_picture(found[2]).array, read_picture(plain).array)
    else:
        codestream = encoded(picture, format, no_jp2=True)
        assert not has_fixed_metadata(codestream)
        found = [
            plain + box(b"uuid", b"JpgTiffExif->JP2" + exif.tobytes()),
            plain + box(b"xml ", b"<a/>"),
            within(plain, [b"jp2h"], box(b"uuid", bytes(16) + b"RICOH")),
            within(plain, [b"jp2c"], b"RICOH"),
            plain.replace(b"OpenJPEG version", b"RICOH    version"),
            codestream.replace(b"OpenJPEG version", b"RICOH    version"),
            codestream + b"RICOH",
            codestream.replace(b"\xff\x90\0\x0a", b"\xff\x6f\0\x07RICOH\xff\x90\0\x0a"),
            codestream[:-2],
        ]
    found += [plain + box(b"free", b"RICOH"), plain + b"RICOH"]
    assert all(has_fixed_metadata(data) for data in found)
    assert not has_fixed_metadata(private("JPEG", 1)) and not has_fixed_metadata(b"")


@pytest.mark.parametrize("format", ["BMP", "GIF", "PPM"])
def test_of_formats_that_are_not_taken_apart_the_pixels_go(format: str):
    plain = encoded(PICTURE, format)
    found = [plain + b"RICOH", plain]
    if format == "GIF":
        found[1] = encoded(PICTURE, format, comment=b"RICOH")
    if format == "PPM":
        assert sendable_file(plain, max_bytes=1 << 20) == plain  # as frames of videos go
        found[1] = plain[:3] + b"#RICOH\n" + plain[3:]
    for data in found:
        sent = sendable(data, max_bytes=1 << 20, name="a")
        assert sent.startswith(b"\x89PNG") and b"RICOH" not in sent
        assert np.array_equal(read_picture(data).array, read_picture(sent).array)


def within(data: bytes, path: list[bytes], more: bytes) -> bytes:
    """A file with more at the end of a box, of which the others are; the place of an AVIF's pixels moves along."""
    at, end = 0, len(data)
    for kind in path:
        at = data.index(kind, at) - 4
        (size,) = struct.unpack_from(">I", data, at)
        end = at + size
        data = data[:at] + struct.pack(">I", size + len(more)) + data[at + 4 :]
        at += 8
    if (place := data.find(b"iloc")) > 0:
        place += 18
        data = (
            data[:place] + struct.pack(">I", struct.unpack_from(">I", data, place)[0] + len(more)) + data[place + 4 :]
        )
    return data[:end] + more + data[end:]


def test_runs_of_fill_bytes_take_no_time():
    """As the erased end of a memory card is."""
    data, run = private("JPEG", 1), b"\xff" * (1 << 20)
    assert without_private_metadata(data[: len(data) // 2] + run) is None
    readable = data[:-2] + run + data[-2:]
    stripped = stripped_of(readable)
    assert np.array_equal(read_picture(stripped).array, read_picture(data).array) and stripped_of(stripped) == stripped
    stripped_of(data[:-2] + run + b"\0" + data[-2:])


def test_texts_that_are_no_metadata_are_not_unpacked():
    """Pillow refuses those of more than 1 MiB, which a picture with its history may have."""
    png = encode_image(PICTURE, ".png")
    end = png.rindex(b"IEND") - 4
    history = png_chunk(b"zTXt", b"history\0\0" + zlib.compress(bytes(range(32, 127)) * 12_000))
    assert np.array_equal(read_picture(stripped_of(png[:end] + history + png[end:])).array, PICTURE)


def test_files_of_many_small_parts_take_no_time():
    png = encode_image(PICTURE, ".png")
    first, end = png.index(b"IDAT") - 4, png.rindex(b"IEND") - 4
    texts, pixels = png_chunk(b"tEXt", b"Raw profile type x\0") * 20_000, png_chunk(b"IDAT", b"") * 20_000
    parts = png[:first] + texts + png[first:end] + pixels + png[end:]
    began = time.process_time()
    stripped_of(parts)
    assert time.process_time() - began < 5


def test_what_is_good_of_a_damaged_exif_is_not_sent():
    exif = b"Exif\0\0II*\0\xff\xff\xff\xffRICOH"
    sent = stripped_of(encoded(Image.fromarray(PICTURE), "JPEG", exif=exif))
    assert b"RICOH" not in sent and read_picture(sent).array.shape == PICTURE.shape
