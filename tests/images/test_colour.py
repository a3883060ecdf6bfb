import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from panolink.images import colour, load_panorama, read_picture
from panolink.images.colour import HLG, PQ, compress_highlights, linear_from_signal, signal_to_srgb, srgb_from_linear
from tests.images.pictures import CASES, encoded

GREEN = (30, 180, 60)


def profile_of(file: str) -> bytes:
    with Image.open(CASES / file) as image:
        return image.info["icc_profile"]


def patch(file: str) -> np.ndarray:
    """What the green of a case is stored as."""
    with Image.open(CASES / file) as image:
        stored = np.asarray(image)
    shown = load_panorama(CASES / file).astype(int)
    row, column = np.argwhere(np.abs(shown - GREEN).sum(-1) <= 3)[0]
    return stored[row, column]


@pytest.mark.parametrize("file", ["sat_adobe.png", "sat_p3.png"])
def test_profiles_of_the_cases_are_converted_to_srgb(file: str):
    shown = np.unique(load_panorama(CASES / file).reshape(-1, 3), axis=0).astype(int)
    assert np.abs(shown - GREEN).max(-1).min() <= 2
    assert np.abs(patch(file).astype(int) - GREEN).max() > 50  # it was stored as something else


@pytest.mark.parametrize(
    "format, options",
    [
        ("JPEG", {"quality": 98, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("AVIF", {"quality": 98, "subsampling": "4:4:4"}),
    ],
)
@pytest.mark.parametrize("file", ["sat_adobe.png", "sat_p3.png"])
def test_profiles_of_other_formats_too(format: str, options: dict, file: str):
    stored = Image.fromarray(np.broadcast_to(patch(file), (32, 64, 3)).copy())
    shown = load_panorama(encoded(stored, format, icc_profile=profile_of(file), **options)).astype(int)
    # This green lies at the edge of sRGB: a small step of a lossy format grows.
    assert np.abs(shown - GREEN).max() <= 12


def test_transparency_keeps_its_profile():
    stored = Image.new("RGBA", (64, 32), (*map(int, patch("sat_adobe.png")), 255))
    stored.paste((255, 255, 255, 0), (0, 0, 32, 32))
    shown = load_panorama(encoded(stored, icc_profile=profile_of("sat_adobe.png"))).astype(int)
    assert np.abs(shown[:, 32:] - GREEN).max() <= 2 and not shown[:, :32].any()


def test_cmyk_profiles_and_profiles_of_another_model_do_no_harm():
    picture = Image.new("L", (32, 16), 100)
    assert load_panorama(encoded(picture, icc_profile=profile_of("sat_p3.png")))[0, 0].tolist() == [100] * 3
    assert load_panorama(encoded(picture.convert("RGB"), icc_profile=b"no profile"))[0, 0].tolist() == [100] * 3
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    assert np.abs(load_panorama(encoded(noise, icc_profile=srgb)).astype(int) - noise).max() <= 1


def test_code_points_of_a_png_say_its_colours():
    """A cICP chunk with Display P3 (12) and the sRGB transfer (13)."""
    import struct
    import zlib

    stored = encoded(Image.new("RGB", (64, 32), tuple(map(int, patch("sat_p3.png")))))
    chunk = struct.pack(">I", 4) + b"cICP" + bytes([12, 13, 0, 1]) + struct.pack(">I", zlib.crc32(b"cICP\x0c\x0d\0\1"))
    shown = load_panorama(stored[:33] + chunk + stored[33:]).astype(int)
    assert np.abs(shown - GREEN).max() <= 5


def test_hdr_signals_by_the_standards_numbers():
    """BT.2100: PQ 0.58 is 203 cd/m², HLG 0.75 likewise on a display of 1000 cd/m²: diffuse white, 1."""
    assert linear_from_signal(np.full((1, 1, 3), 0.5807), PQ) == pytest.approx(1, rel=0.01)
    assert linear_from_signal(np.full((1, 1, 3), 0.75), HLG) == pytest.approx(1, rel=0.01)
    assert linear_from_signal(np.ones((1, 1, 3)), PQ) == pytest.approx(10000 / 203, rel=1e-3)
    grey = signal_to_srgb(np.full((1, 1, 3), 0.5807), 9, PQ)
    assert grey.min() >= 235 and grey.max() - grey.min() <= 1  # white is bright and has no tint


def test_highlights_roll_off_and_keep_their_hue():
    light = np.array([[0.5, 0.25, 0.1], [8.0, 4.0, 1.6]])
    rolled = compress_highlights(light)
    assert np.allclose(rolled[0], light[0]) and rolled.max() <= 1
    assert np.allclose(rolled[1] / rolled[1].max(), light[1] / light[1].max())
    assert srgb_from_linear(np.array([0.0, 0.2140, 1.0, 9.0, np.nan])).tolist() == [0, 127, 255, 255, 0]


def test_bytes_and_streams_alike():
    data = (CASES / "sat_p3.png").read_bytes()
    assert np.array_equal(load_panorama(data), load_panorama(CASES / "sat_p3.png"))
    assert Image.open(io.BytesIO(data)).size == (128, 64)


def with_unknown_curves(profile: bytes) -> bytes:
    """A profile that opens, and of which nothing can be made: its curves are of no known kind."""
    damaged = bytearray(profile)
    for entry in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        if damaged[entry : entry + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            at = int.from_bytes(damaged[entry + 4 : entry + 8], "big")
            damaged[at : at + 4] = b"xxxx"
    return bytes(damaged)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_damaged_profile_is_told(format: str):
    picture = Image.new("RGB", (32, 16), (10, 20, 30))
    good = read_picture(encoded(picture, format, icc_profile=profile_of("sat_p3.png")))
    for profile in (profile_of("sat_p3.png")[:100], with_unknown_curves(profile_of("sat_p3.png"))):
        damaged = read_picture(encoded(picture, format, icc_profile=profile))
        assert not good.notes and damaged.notes == ("its colour profile is damaged, and was left aside",)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "1"])
def test_strips_give_what_the_whole_does(mode: str, monkeypatch: pytest.MonkeyPatch):
    noise = np.random.default_rng(0).integers(0, 256, (37, 64, 4), np.uint8)
    image = Image.fromarray(noise, "RGBA").convert("RGB" if mode in ("P", "CMYK") else "RGBA").convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    monkeypatch.setattr(colour, "STRIP_ROWS", 1000)
    whole = colour.to_rgb8(image)
    monkeypatch.setattr(colour, "STRIP_ROWS", 16)
    assert np.array_equal(colour.to_rgb8(image), whole)
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    if image.has_transparency_data:
        black.alpha_composite(image.convert("RGBA"))
        assert np.abs(np.asarray(black.convert("RGB")).astype(int) - whole).max() <= 1
    else:
        assert np.array_equal(np.asarray(image.convert("RGB")), whole)


def grey_profile() -> bytes:
    """A profile of greys in linear light: 60 of 255 is 133 in sRGB."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    white = fixed(0.9642) + fixed(1) + fixed(0.8249)
    name = b"linear grey\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + white,
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 0),
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += tag + struct.pack(">II", start + len(body), len(padded))
        body += padded
    size = struct.pack(">I", start + len(body))
    head = size + b"lcms\x02\x20\0\0mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + table + body


@pytest.mark.parametrize(
    ("mode", "format", "options"),
    [("L", "PNG", {}), ("LA", "PNG", {}), ("LA", "TIFF", {}), ("L", "PNG", {"transparency": 3}), ("P", "PNG", {})],
)
def test_a_profile_of_greys_holds_for_all_that_is_grey(mode: str, format: str, options: dict[str, int]) -> None:
    file = io.BytesIO()
    grey = Image.fromarray(np.full((32, 64), 60, np.uint8))
    grey.convert(mode).save(file, format, icc_profile=grey_profile(), **options)
    assert np.unique(read_picture(file.getvalue()).array) == pytest.approx(133, abs=1)


@pytest.mark.parametrize("mode", ["P", "LA"])
def test_a_profile_of_colours_holds_for_greys_stored_as_such(mode: str) -> None:
    profile, grey = profile_of("sat_adobe.png"), Image.fromarray(np.full((32, 64), 60, np.uint8))
    shown = {}
    for one in (mode, "RGB"):
        file = io.BytesIO()
        grey.convert(one).save(file, "PNG", icc_profile=profile)
        shown[one] = read_picture(file.getvalue()).array
    assert np.array_equal(shown[mode], shown["RGB"]) and (shown["RGB"] != 60).any()


@pytest.mark.parametrize("colours", [0, 2], ids=["grey", "rgb"])
def test_a_transparent_value_of_16_bits_lies_on_black(colours: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    values = 3 if colours else 1
    row = b"\0" + struct.pack(">H", 0x8080) * values * 32 + struct.pack(">H", 0x4040) * values * 32
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 32, 16, colours, 0, 0, 0))
    png += chunk(b"tRNS", struct.pack(">H", 0x8080) * values) + chunk(b"IDAT", zlib.compress(row * 32))
    shown = read_picture(png + chunk(b"IEND", b"")).array
    assert np.unique(shown[:, :32]) == [0] and np.unique(shown[:, 32:]) == [0x40]
