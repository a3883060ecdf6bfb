import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.codec.visual_crops import busiest, corner, overview, window
from panolink.images import save_image

ROOT = Path(__file__).parents[3]


def test_the_busiest_window_is_where_the_detail_is():
    image = np.full((128, 256, 3), 90, dtype=np.uint8)
    image[50:70, 200:230] = np.random.default_rng(0).integers(0, 256, (20, 30, 3))
    x, y = busiest(image, (48, 32))
    assert abs(x - 215) <= 9 and abs(y - 60) <= 9


@pytest.mark.parametrize("centre", [(128, 64), (0, 64), (250, 5), (10, 125)])
def test_what_is_shown_is_what_is_outlined(panorama: np.ndarray, centre: tuple[int, int]):
    size = (40, 20)
    outlined = overview(np.zeros_like(panorama), centre, size, panorama.shape[0], "")
    red = np.argwhere(np.asarray(outlined)[: panorama.shape[0]].any(axis=2))
    left, top = corner(panorama, centre, size)
    assert red[:, 0].min() == top and red[:, 0].max() in (top + 20, panorama.shape[0] - 1)
    assert {int(x) for x in red[:, 1]} <= {(left + x) % panorama.shape[1] for x in range(41)}


def test_windows_go_on_around_the_sphere(panorama: np.ndarray):
    found = window(panorama, (0, 64), (40, 20))
    assert np.array_equal(found, np.roll(panorama, 20, axis=1)[54:74, :40])


@pytest.mark.long
def test_a_page_of_crops(panorama: np.ndarray, tmp_path: Path):
    save_image(panorama, tmp_path / "a.png")
    command = [
        *(sys.executable, str(ROOT / "benchmarks/codec/visual_crops.py")),
        *(f"{tmp_path}/a.png", f"{tmp_path}/a.png@10,60"),
        *(str(tmp_path / "page.png"), "--codec", "jpeg", "--model", "base", "--bpp", "0.5", "--crop", "64", "48"),
        *("--cache", str(tmp_path / "cache")),
    ]
    subprocess.run(command, check=True, capture_output=True)
    with Image.open(tmp_path / "page.png") as page:
        # The panorama, and three crops at twice their size, with two lines below; two rows.
        assert page.size == (2 * 96 + 3 * 128 + 3 * 4, 2 * (96 + 34) + 4)
        pixels = np.asarray(page)
    original = np.asarray(
        Image.fromarray(window(panorama, (10, 60), (64, 48))).resize((128, 96), Image.Resampling.BICUBIC)
    )
    assert np.array_equal(pixels[134 : 134 + 96, 196 : 196 + 128], original)
