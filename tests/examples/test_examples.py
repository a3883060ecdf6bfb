"""The examples run as they are written."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(tmp_path: Path, panorama: np.ndarray) -> Path:
    path = tmp_path / "small.png"
    Image.fromarray(panorama).save(path)
    return path


def run(example: str, *arguments: str | Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_link_without_services(small: Path) -> None:
    printed = run("link_without_services.py", small)
    assert re.search(r"\d+ symbols, 0\.\d+ per pixel", printed)
    assert re.search(r"VPSNR \d+\.\d\d dB", printed)
