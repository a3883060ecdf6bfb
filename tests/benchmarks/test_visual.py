"""The paper's figures that are not curves over bits: crops side by side, and quality over the share kept."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.crops import busiest, window
from benchmarks.kept_share import CHOSEN, TAUS, curves
from panolink import Codec
from panolink.images import save_image

ROOT = Path(__file__).parent.parent.parent


def test_the_busiest_window_is_where_the_detail_is():
    image = np.full((128, 256, 3), 90, dtype=np.uint8)
    image[50:70, 200:230] = np.random.default_rng(0).integers(0, 256, (20, 30, 3))
    x, y = busiest(image, (48, 32))
    assert abs(x - 215) <= 9 and abs(y - 60) <= 9


def test_windows_go_on_around_the_sphere(panorama: np.ndarray):
    found = window(panorama, (0, 64), (40, 20))
    assert np.array_equal(found, np.roll(panorama, 20, axis=1)[54:74, :40])


def test_a_page_of_crops(panorama: np.ndarray, tmp_path: Path):
    save_image(panorama, tmp_path / "a.png")
    command = [
        *(sys.executable, str(ROOT / "benchmarks/crops.py"), f"{tmp_path}/a.png", f"{tmp_path}/a.png@10,60"),
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


def test_quality_rises_with_the_share_kept(panorama: np.ndarray):
    found = curves(Codec.load("base", device="cpu"), panorama, [4], None)
    assert set(found) == {"step 4", CHOSEN}
    shares, bits, decibels = zip(*found["step 4"], strict=True)
    assert shares == pytest.approx(TAUS, abs=0.01)
    assert decibels[0] < decibels[3] < decibels[5] and bits[0] < bits[3] < bits[5]
