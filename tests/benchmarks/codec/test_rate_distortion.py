import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from panolink.images import save_image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.mark.long
def test_benchmark_resumes_from_its_cache(tmp_path: Path, panorama: np.ndarray):
    save_image(panorama, tmp_path / "pictures" / "a.png")
    (tmp_path / "pictures" / "b.png").write_bytes(b"nonsense")
    command = [
        *(sys.executable, str(ROOT / "benchmarks/codec/rate_distortion.py"), str(tmp_path / "pictures"), "--json"),
        *("--codec", "jpeg", "--codec", "webp", "--bpp", "0.5", "--measure", "vpsnr_db"),
        *("--cache", str(tmp_path / "cache")),
    ]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "b.png" in first.stderr
    result = json.loads(first.stdout)
    assert result["means"]["webp"]["bpp=0.5"]["images"] == 1
    assert result["bd_rate"]["jpeg"]["vpsnr_db"]["percent"] == pytest.approx(0)
    (kept,) = (tmp_path / "cache").glob("*/jpeg-*.json")
    points = json.loads(kept.read_text())
    points["bpp=0.5"]["vpsnr_db"] = 12.5
    kept.write_text(json.dumps(points))
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(second.stdout)["means"]["jpeg"]["bpp=0.5"]["vpsnr_db"] == 12.5


def test_a_model_is_compared_at_the_size_of_the_others(tmp_path: Path, panorama: np.ndarray):
    save_image(panorama, tmp_path / "a.png")
    command = [
        *(sys.executable, str(ROOT / "benchmarks/codec/rate_distortion.py"), str(tmp_path), "--json"),
        *("--codec", "webp", "--bpp", "0.6", "--model", "base", "--measure", "vpsnr_db", "--no-sweep"),
        *("--cache", str(tmp_path / "cache")),
    ]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    webp = result["means"]["webp"]["bpp=0.6"]["bpp"]
    assert 0.9 * webp < result["same_size"]["base"]["webp bpp=0.6"]["bpp"] <= webp
