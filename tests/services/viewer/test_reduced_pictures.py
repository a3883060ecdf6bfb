"""Pictures at the width that a page has asked for."""

from pathlib import Path

import numpy as np
import pytest

from panolink.errors import ImageError
from panolink.images import Picture
from panolink.services.viewer.reduced_pictures import picture_of, reduced
from panolink.sphere.metadata import Crop, SphereMetadata
from tests.images.pictures import encoded


def test_pictures_are_reduced_and_never_enlarged() -> None:
    crop = Crop(0, 8, 64, 16, 64, 32)
    picture = Picture(np.zeros((32, 64, 3), np.uint8), SphereMetadata(heading=10, crop=crop))
    assert reduced(picture, 128) is picture and reduced(picture, None) is picture
    small = reduced(picture, 16)
    assert small.array.shape == (8, 16, 3)
    assert small.sphere == SphereMetadata(heading=10, crop=Crop(0, 2, 16, 4, 16, 8))


def test_a_file_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(np.zeros((32, 64, 3), np.uint8)))
    assert picture_of(tmp_path / "a.png", 32, 1 << 20).array.shape == (16, 32, 3)
    (tmp_path / "b.png").write_bytes(b"none")
    with pytest.raises(ImageError, match=r"^b\.png: "):
        picture_of(tmp_path / "b.png", None, 1 << 20)
