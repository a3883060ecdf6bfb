import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.images import encode_png, load_panorama, read_picture, save_image
from panolink.images.metadata import kept_exif, sphere_of, tiff_exif, xmp_of
from panolink.sphere.metadata import Crop, Projection, SphereMetadata
from tests.images.pictures import CASES, encoded

PICTURE = np.linspace(0, 255, 64 * 128 * 3).reshape(64, 128, 3).astype(np.uint8)


def gpano(**values: object) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/">'
        + "".join(f"<GPano:{name}>{value}</GPano:{name}>" for name, value in values.items())
        + "</rdf:Description></x:xmpmeta>"
    ).encode()


def cropped(left: int, top: int, width: int, height: int, full: tuple[int, int]) -> bytes:
    return gpano(
        CroppedAreaLeftPixels=left,
        CroppedAreaTopPixels=top,
        CroppedAreaImageWidthPixels=width,
        CroppedAreaImageHeightPixels=height,
        FullPanoWidthPixels=full[0],
        FullPanoHeightPixels=full[1],
    )


def test_the_pose_of_a_camera():
    assert read_picture(CASES / "theta.jpg").sphere == SphereMetadata(heading=225, pitch=17, roll=-12)
    assert sphere_of(gpano(PoseHeadingDegrees=-90, PoseRollDegrees=350), width=4, height=2)[0] == SphereMetadata(
        heading=270, roll=-10
    )
    assert not sphere_of(gpano(PoseHeadingDegrees="north", PosePitchDegrees=91), width=4, height=2)[0]
    assert not sphere_of(b"", width=4, height=2)[0]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_it_is_written_into_every_kind_of_picture(suffix: str, tmp_path):
    sphere = SphereMetadata(heading=12.25, pitch=-3.5, crop=Crop(10, 4, 60, 30, 128, 64))
    save_image(PICTURE, tmp_path / f"a{suffix}", sphere=sphere)
    assert read_picture(tmp_path / f"a{suffix}").sphere == sphere
    save_image(PICTURE, tmp_path / f"b{suffix}")
    assert b"GPano" not in (tmp_path / f"b{suffix}").read_bytes()


def test_viewers_find_what_they_look_for():
    png = encode_png(PICTURE, sphere=SphereMetadata(heading=90))
    with Image.open(io.BytesIO(png)) as image:
        xmp = image.info["xmp"] if "xmp" in image.info else image.info["XML:com.adobe.xmp"].encode()
    for wanted in ('ProjectionType="equirectangular"', 'FullPanoWidthPixels="128"', 'PoseHeadingDegrees="90"'):
        assert wanted.encode() in xmp
    assert np.array_equal(load_panorama(png), PICTURE)


@pytest.mark.parametrize(
    "file, rows, columns", [("crop2to1.jpg", (64, 192), (128, 384)), ("crop_strip.jpg", (50, 200), (0, 512))]
)
def test_crops_are_placed_where_they_belong(file: str, rows: tuple[int, int], columns: tuple[int, int]):
    picture = read_picture(CASES / file)
    scene = load_panorama(CASES / "theta.jpg").astype(int)
    assert picture.array.shape == (256, 512, 3)
    inside = np.s_[rows[0] : rows[1], columns[0] : columns[1]]
    assert np.abs(picture.array[inside] - scene[inside]).mean() < 2
    crop = picture.sphere.crop
    assert crop and (crop.left, crop.top, crop.full_width) == (columns[0], rows[0], 512)
    assert "placed on the sphere" in picture.notes[0]


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_a_crop_that_was_made_smaller_since(format: str):
    """64×32 pixels of what GPano calls 128×64 of 512×256: a quarter of the sphere, now 256×128."""
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    xmp = cropped(100, 80, 128, 64, (512, 256))
    small = np.full((32, 64, 3), 200, np.uint8)
    if format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif format == "TIFF":
        options["tiffinfo"] = {700: xmp}
    else:
        options["xmp"] = xmp
    picture = read_picture(encoded(small, format, **options))
    assert picture.array.shape == (128, 256, 3) and picture.sphere.crop == Crop(50, 40, 64, 32, 256, 128)
    assert np.abs(picture.array.astype(int) - 200).max() <= 2  # filled with the only colour that there is


def test_crops_that_are_refused_are_named():
    jpeg = lambda xmp: encoded(PICTURE, "JPEG", xmp=xmp)  # noqa: E731
    with pytest.raises(ImageError, match=r"a.jpg: its crop \(GPano\), 128×64 at \(500, 0\) of 512×256, does not lie"):
        load_panorama(jpeg(cropped(500, 0, 128, 64, (512, 256))), name="a.jpg")
    with pytest.raises(ImageError, match=r"its crop \(GPano\), .*another shape than its 128×64"):
        load_panorama(jpeg(cropped(0, 0, 128, 200, (512, 256))))
    with pytest.raises(ImageError, match=r"its crop \(GPano\), 128×64 at .*512×128 is not 2:1"):
        load_panorama(jpeg(cropped(0, 0, 128, 64, (512, 128))))
    with pytest.raises(LimitError, match=r"its crop \(GPano\), 128×64 at .*65536×32768 pixels is more"):
        load_panorama(jpeg(cropped(0, 0, 128, 64, (65536, 32768))))
    with pytest.raises(ImageError, match=r"says cubemap; convert it to equirectangular first \(--projection cubemap"):
        load_panorama(jpeg(gpano(ProjectionType="cubemap")))


def test_what_the_user_says_of_a_projection_goes_before_what_the_file_says():
    xmp = gpano(ProjectionType="cubemap", PoseHeadingDegrees=90)
    cube = encoded(np.full((64, 96, 3), 90, np.uint8), "JPEG", xmp=xmp)
    picture = read_picture(cube, projection=Projection.CUBEMAP)
    assert picture.array.shape == (64, 128, 3) and picture.sphere == SphereMetadata(heading=90)
    with pytest.raises(ImageError, match="says cubemap"):
        read_picture(cube, projection=Projection.AUTO, allow_any_aspect=True)
    lenses = encoded(PICTURE, "JPEG", xmp=gpano(ProjectionType="fisheye"))
    assert read_picture(lenses, projection=Projection.DFISHEYE).array.shape == PICTURE.shape


def test_what_was_filled_stays_marked():
    """A picture that was filled in once is whole to viewers, and to us, but says what of it was photographed."""
    sphere = SphereMetadata(crop=Crop(10, 4, 60, 30, 128, 64))
    xmp = xmp_of(sphere, width=128, height=64)
    assert sphere_of(xmp, width=128, height=64) == (sphere, None)
    assert sphere_of(xmp, width=64, height=32) == (SphereMetadata(crop=Crop(5, 2, 30, 15, 64, 32)), None)


def test_exif_that_is_kept():
    with Image.open(CASES / "theta.jpg") as image:
        exif = image.getexif()
        exif[0x0112] = 6
        exif.get_ifd(0x8769)[0x927C] = b"serial number 12345"
        kept = Image.Exif()
        kept.load(kept_exif(exif.tobytes()))
    assert kept[0x0110] == "RICOH THETA Z1" and kept.get_ifd(0x8825)[1] == "N"
    assert 0x0112 not in kept and 0x927C not in kept.get_ifd(0x8769)
    assert kept_exif(b"") == b"" and kept_exif(b"nonsense") == b""
    again = Image.open(io.BytesIO(encode_png(PICTURE, exif=kept_exif(exif.tobytes()))))
    assert again.getexif()[0x0110] == "RICOH THETA Z1"


@pytest.mark.parametrize("order", ["II", "MM"])
def test_exif_of_a_tiff(order: str):
    with Image.open(CASES / "theta.jpg") as case:
        exif = case.info["exif"]
    data = encoded(Image.new("RGB" if order == "II" else "I;16B", (64, 32)), "TIFF", exif=exif)
    assert data.startswith(order.encode())
    file = io.BytesIO(data)
    kept = Image.Exif()
    kept.load(tiff_exif(file))
    assert file.tell() == 0 and kept[0x010F] == "RICOH" and kept.get_ifd(0x8825)[1] == "N"
    assert not {256, 257, 273, 279} & set(kept)  # which say where the pixels are
    assert kept_exif(read_picture(data).exif)


@pytest.mark.parametrize("data", [b"", b"II*\0", b"MM\0+" + bytes(20), b"II*\0\xff\xff\xff\xff" + bytes(20)])
@pytest.mark.filterwarnings("ignore:.*EXIF")
def test_a_tiff_without_exif(data: bytes):
    assert tiff_exif(io.BytesIO(data)) == b""
