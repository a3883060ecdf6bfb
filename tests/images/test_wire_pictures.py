"""Each format of a picture on the wire brings it back, with what is known of its sphere."""

import io

import numpy as np
import pytest
from PIL import Image

from panolink.errors import LimitError, PanolinkError
from panolink.images import read_picture
from panolink.images.formats import MOST_SIDE
from panolink.images.wire_pictures import decode_picture, encode_picture
from panolink.picture_format import PictureFormat
from panolink.sphere.metadata import Crop, SphereMetadata
from tests.images.pictures import many_scans

SMOOTH = np.asarray(Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)).resize((128, 64)))
SPHERE = SphereMetadata(heading=90.0, pitch=-3.0, crop=Crop(0, 8, 128, 48, 128, 64))


@pytest.mark.parametrize("sphere", [None, SphereMetadata(), SPHERE])
@pytest.mark.parametrize("format", PictureFormat)
def test_a_picture_comes_back(format: PictureFormat, sphere: SphereMetadata | None):
    data = encode_picture(SMOOTH, format, sphere=sphere)
    array, found = decode_picture(data)
    assert array.dtype == np.uint8 and array.shape == SMOOTH.shape
    if format is PictureFormat.JPEG:
        assert np.abs(array.astype(int) - SMOOTH).mean() < 2
    else:
        assert np.array_equal(array, SMOOTH)
    assert found.as_dict() == (sphere or SphereMetadata()).as_dict()


@pytest.mark.parametrize("format", PictureFormat)
def test_it_is_a_file_that_other_programs_read(format: PictureFormat):
    data = encode_picture(SMOOTH, format, sphere=SPHERE)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == {"rgb8": "PPM"}.get(format, format.upper()) and image.size == (128, 64)
    assert read_picture(encode_picture(SMOOTH, format)).array.shape == SMOOTH.shape, "as a transmitter reads it"


def test_none_takes_more_than_three_bytes_a_pixel_and_a_little():
    noise = np.random.default_rng(1).integers(0, 256, (128, 256, 3), np.uint8)
    for format in PictureFormat:
        assert len(encode_picture(noise, format, sphere=SPHERE)) < noise.size + 4096


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"P6\n8 4\n255\n" + bytes(95),
        b"P6\n8 4\n255\n" + bytes(97),
        b"P6\n8 4\n65535\n" + bytes(96),
        b"P6\n0 4\n255\n",
        b"P6\n-1 -32\n255\n" + bytes(96),
        b"P6\n# panolink sphere zz\n8 4\n255\n" + bytes(96),
        b"P6",
        b"\xff\xd8\xff\xe0",
    ],
)
def test_what_is_no_picture_is_one_error(data: bytes):
    with pytest.raises(PanolinkError, match="a received picture cannot be read"):
        decode_picture(data)


def test_scans_of_a_receivers_jpeg_are_counted_before_they_are_decoded():
    with pytest.raises(LimitError, match="a received picture: JPEG of 40"):
        decode_picture(many_scans(SMOOTH, 400))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_size_of_a_receivers_picture_is_checked_before_it_is_unpacked():
    """Below Pillow's own limit, and whatever another thread makes of that."""
    file = io.BytesIO()
    Image.new("1", (16384, 8208)).save(file, "PNG")
    with pytest.raises(LimitError, match="16384×8208 pixels is more than"):
        decode_picture(file.getvalue())


@pytest.mark.parametrize("format", [PictureFormat.WEBP, PictureFormat.JPEG])
def test_a_side_that_a_format_has_no_room_for_is_named(format: PictureFormat) -> None:
    side = MOST_SIDE[format.name]
    assert encode_picture(np.zeros((1, side, 3), np.uint8), format)
    with pytest.raises(LimitError, match=f"{side} a side at most"):
        encode_picture(np.zeros((1, side + 1, 3), np.uint8), format)
    assert encode_picture(np.zeros((1, side + 1, 3), np.uint8), PictureFormat.PNG)
