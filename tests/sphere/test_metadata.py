import numpy as np
import pytest

from panolink.errors import BitstreamError
from panolink.sphere.metadata import Crop, SphereMetadata

WHOLE = SphereMetadata(heading=359.99, pitch=-12.34, roll=180, crop=Crop(1, 2, 300, 100, 512, 256))


@pytest.mark.parametrize("sphere", [SphereMetadata(), SphereMetadata(heading=0), SphereMetadata(roll=-12.5), WHOLE])
def test_bytes_and_back(sphere: SphereMetadata):
    assert SphereMetadata.from_bytes(sphere.to_bytes(), width=512, height=256) == sphere


def test_it_takes_few_bytes():
    assert len(SphereMetadata(225, 17, -12).to_bytes()) == 7 and len(WHOLE.to_bytes()) == 23


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\1", b"\1\0\0\0", b"\1\xff\xff", b"\2\xff\x7f", b"\x08" + bytes(16), WHOLE.to_bytes()[:-1]]
)
def test_bytes_that_are_none(data: bytes):
    with pytest.raises(BitstreamError, match="sphere metadata"):
        SphereMetadata.from_bytes(data, width=512, height=256)


def test_a_part_stays_inside_at_every_size():
    """A strip of the last columns is narrower than one pixel of a smaller picture."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        full = rng.integers(1, 9000, 2)
        left, top = rng.integers(0, full)
        crop = Crop(left, top, *(rng.integers(1, full - (left, top) + 1)), *full)
        assert crop.inside and crop.scaled(*rng.integers(1, 9000, 2)).inside
    assert Crop(8190, 0, 2, 4096, 8192, 4096).scaled(1024, 512).inside


def test_the_same_at_another_size():
    crop = Crop(128, 64, 256, 128, 512, 256).scaled(1024, 512)
    assert crop == Crop(256, 128, 512, 256, 1024, 512) and str(crop) == "512×256 at (256, 128) of 1024×512"
    assert crop.inside and not crop.whole and SphereMetadata() == SphereMetadata().scaled(4, 2)


def test_as_json_has_it():
    assert SphereMetadata(heading=1.5).as_dict() == {"heading": 1.5}
    assert WHOLE.as_dict()["crop"] == {
        "left": 1,
        "top": 2,
        "width": 300,
        "height": 100,
        "full_width": 512,
        "full_height": 256,
    }
