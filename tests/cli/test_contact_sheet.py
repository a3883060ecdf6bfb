import numpy as np
from PIL import Image

from panolink.cli.contact_sheet import Comparison, coloured, contact_sheet, side_by_side


def test_pictures_have_their_panels():
    random = np.random.default_rng(1)
    sent = random.integers(0, 256, (64, 128, 3), dtype=np.uint8)
    comparison = Comparison("noise", sent, 255 - sent, random.integers(0, 256, (4, 8), dtype=np.uint8), "0.1 bpp")
    picture = side_by_side(comparison)
    assert picture.dtype == np.uint8 and picture.shape[1] > 3 * 128
    sheet = contact_sheet([comparison, comparison], title="two")
    assert sheet.shape[0] > 2 * 260 and sheet.shape[2] == 3
    Image.fromarray(sheet)


def test_colours_go_from_dark_to_bright():
    ramp = coloured(np.arange(256, dtype=np.uint8)[None])
    brightness = ramp[0].astype(float) @ (0.299, 0.587, 0.114)
    assert ramp.shape == (1, 256, 3)
    assert (np.diff(brightness) >= -1).all() and brightness[0] < 5 and brightness[-1] > 240
    assert coloured(np.zeros((2, 2), dtype=np.uint8)).max() <= 4
