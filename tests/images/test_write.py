import io

import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError
from panolink.images import encode_png, read_picture
from panolink.images.metadata import kept_exif
from panolink.images.write import encode_image
from panolink.sphere.metadata import SphereMetadata
from tests.images.pictures import CASES


@pytest.mark.parametrize("shape", [(1, 1, 3), (16, 32, 3), (600, 7, 3), (1, 9), (257, 256)])
def test_our_pngs_are_pngs(shape: tuple[int, ...]):
    noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    smooth = np.broadcast_to(np.arange(shape[1], dtype=np.uint8).reshape(1, -1, *(1,) * (len(shape) - 2)), shape)
    for picture in (noise, smooth, np.zeros(shape, np.uint8)):
        with Image.open(io.BytesIO(encode_png(picture))) as image:
            image.load()
            assert image.format == "PNG" and image.mode == ("RGB" if len(shape) == 3 else "L")
            assert np.array_equal(np.asarray(image), picture)


@pytest.mark.parametrize("suffix, side", [(".webp", 16383), (".jpg", 65500), (".gif", 65535)])
def test_a_side_that_a_format_has_no_room_for_is_an_error_of_ours(suffix: str, side: int):
    encode_image(np.zeros((1, side, 3), np.uint8), suffix)
    with pytest.raises(ImageError, match=f"a{suffix}: a picture of {side + 1}×1 has no room .*: {side} a side at most"):
        encode_image(np.zeros((1, side + 1, 3), np.uint8), suffix, name=f"a{suffix}")


def test_exif_that_a_format_has_no_room_for_is_an_error_of_ours():
    exif = Image.Exif()
    exif[0x010E] = "d" * 70_000
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be written as JPEG \(EXIF data is too long\)"):
        encode_image(np.zeros((16, 32, 3), np.uint8), ".jpg", exif=exif.tobytes()[6:], name="a.jpg")


@pytest.mark.parametrize("suffix", [".avif", ".jpg", ".png", ".tif", ".webp"])
def test_pose_and_exif_are_written_side_by_side(suffix: str):
    with Image.open(CASES / "theta.jpg") as case:
        exif = kept_exif(case.info["exif"].removeprefix(b"Exif\0\0"))
    sphere = SphereMetadata(heading=225, pitch=17)
    data = encode_image(np.full((32, 64, 3), 90, np.uint8), suffix, sphere=sphere, exif=exif)
    picture = read_picture(data)
    found = Image.Exif()
    found.load(picture.exif)
    assert picture.sphere == sphere
    assert found[0x010F] == "RICOH" and found.get_ifd(0x8825)[2] == (47, 22, 1)
