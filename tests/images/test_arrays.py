import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panolink.codec.codec import Codec
from panolink.errors import ImageError
from panolink.images.arrays import pixels_of
from tests.images.pictures import encoded

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
FLOATS = PICTURE.astype(np.float32) / 255


@pytest.mark.parametrize(
    "value",
    [
        PICTURE,
        FLOATS,
        FLOATS.astype(np.float64),
        PICTURE.astype(np.uint16) * 257,
        np.dstack([PICTURE, np.full((16, 32), 255, np.uint8)]),
        Image.fromarray(PICTURE),
        torch.from_numpy(PICTURE),
        torch.from_numpy(PICTURE).permute(2, 0, 1),
        torch.from_numpy(FLOATS).permute(2, 0, 1),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')} {tuple(getattr(value, 'shape', ()))}",
)
def test_pictures_of_every_sensible_kind(value: object):
    assert np.array_equal(pixels_of(value), PICTURE)


def test_grey_and_alpha():
    grey = PICTURE[..., 0]
    assert np.array_equal(pixels_of(grey), np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(pixels_of(grey[..., None]), pixels_of(grey))
    assert not pixels_of(np.dstack([PICTURE, np.zeros((16, 32), np.uint8)])).any()
    assert pixels_of(np.ones((16, 32), bool)).min() == 255


@pytest.mark.parametrize("value", [PICTURE.astype(float), PICTURE[..., :2], PICTURE.astype(np.int64), FLOATS * np.nan])
def test_what_makes_no_sense(value: np.ndarray):
    with pytest.raises(ImageError, match=r"a.npy: an array must be"):
        pixels_of(value, name="a.npy")


def test_a_damaged_file_that_pillow_has_only_opened():
    file = encoded(np.zeros((64, 128, 3), np.uint8) + np.arange(3, dtype=np.uint8), "JPEG")
    with Image.open(io.BytesIO(file[:-20])) as image, pytest.raises(ImageError, match=r"a.jpg: truncated or damaged"):
        pixels_of(image, name="a.jpg")


def test_anything_else_is_a_type_error_that_names_what_is_taken(tiny: Codec):
    for value in (None, 7, [[1, 2]]):
        with pytest.raises(TypeError, match="a path, an image file's bytes, a PIL image, a numpy array"):
            tiny.encode(value)


def test_the_codec_takes_them_all(tiny: Codec, panorama: np.ndarray, tmp_path: Path):
    path = tmp_path / "a.png"
    Image.fromarray(panorama).save(path)
    expected = tiny.encode(panorama, bpp=0.3).to_bytes()
    for value in (path, str(path), path.read_bytes(), Image.open(path), torch.tensor(panorama), panorama / 255):
        assert tiny.encode(value, bpp=0.3).to_bytes() == expected
