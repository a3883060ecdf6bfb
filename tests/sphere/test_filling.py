import numpy as np
import pytest

from panolink.sphere.filling import place_crop
from panolink.sphere.metadata import Crop


def test_what_is_there_stays_and_the_rest_goes_on_from_it():
    picture = np.random.default_rng(0).integers(90, 110, (20, 40, 3), dtype=np.uint8)
    whole = place_crop(picture, Crop(12, 6, 40, 20, 128, 64))
    assert whole.shape == (64, 128, 3) and np.array_equal(whole[6:26, 12:52], picture)
    assert whole.min() >= 89 and whole.max() <= 110


def test_it_is_smooth_across_the_seam_too():
    """A strip from dark to bright: the filling has no edge, not even where the left side meets the right one."""
    ramp = np.broadcast_to(np.linspace(40, 210, 256)[None, :, None], (60, 256, 3)).astype(np.uint8)
    whole = place_crop(ramp, Crop(128, 98, 256, 60, 512, 256)).astype(int)
    outside = np.concatenate([whole[:90], whole[166:]])
    assert np.abs(np.diff(outside, axis=0)[:60]).max() <= 12
    assert np.abs(outside[:, 0] - outside[:, -1]).max() <= 6
    assert outside.min() >= 40 and outside.max() <= 210


@pytest.mark.parametrize("crop", [Crop(0, 0, 16, 8, 16, 8), Crop(0, 3, 16, 2, 16, 8), Crop(9, 1, 1, 1, 16, 8)])
def test_any_part(crop: Crop):
    assert (
        place_crop(np.full((crop.height, crop.width, 3), 77, np.uint8), crop).tolist()
        == np.full((8, 16, 3), 77).tolist()
    )
