"""Pictures turned upright, held against what Pillow makes of the same orientation."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from panolink.images.orientation import TURNED, orientation_of, upright
from tests.images.pictures import PICTURE, encoded


@pytest.mark.parametrize("orientation", range(1, 9))
def test_as_pillow_turns_it(orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(io.BytesIO(encoded(PICTURE, exif=exif))) as image:
        assert orientation_of(image) == orientation
        shown = upright(np.asarray(image), orientation)
        assert np.array_equal(shown, np.asarray(ImageOps.exif_transpose(image)))
    assert (shown.shape != PICTURE.shape) == (orientation in TURNED) and shown.flags.c_contiguous


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
@pytest.mark.filterwarnings("ignore:.*EXIF")
def test_damaged_exif_says_nothing(exif: bytes):
    with Image.open(io.BytesIO(encoded(PICTURE, exif=exif))) as image:
        assert orientation_of(image) == 1
    assert np.array_equal(upright(PICTURE, 1), PICTURE) and np.array_equal(upright(PICTURE, 99), PICTURE)
