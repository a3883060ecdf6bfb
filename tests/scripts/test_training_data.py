import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.training.data import validation_files

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(panorama: np.ndarray, tmp_path: Path) -> Path:
    """Six small panoramas of three sources."""
    folder = tmp_path / "panoramas"
    folder.mkdir()
    for number in range(6):
        turned = np.roll(panorama, 40 * number, axis=1)
        Image.fromarray(turned).resize((512, 256)).save(folder / f"{number}.png")
    rows = [f"{number},source{number // 2}" for number in range(6)]
    folder.with_suffix(".csv").write_text("\n".join(["id,group", *rows]) + "\n")
    return folder


def test_packing_keeps_names_and_the_split(folder: Path, tmp_path: Path):
    target = tmp_path / "packed"
    command = [sys.executable, str(ROOT / "scripts/pack_panoramas.py"), str(folder), str(target), "--width", "256"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "6 panoramas" in told
    with Image.open(target / "3.webp") as image:
        assert image.size == (256, 128)
    assert [p.stem for p in validation_files(target)] == [p.stem for p in validation_files(folder)] != []


@pytest.mark.slow
def test_a_session_on_a_gpu_goes_on_from_the_last(folder: Path, tmp_path: Path):
    """Here on a CPU, and short: what comes home are weights to go on from, figures and the golden check."""
    config = tmp_path / "tiny.toml"
    config.write_text('profile = "base"\ncrop = 64\nvalidation_images = 1\n')
    out = tmp_path / "out"
    environment = os.environ | {
        "PYTHON": sys.executable,
        "BATCH": "1",
        "SIZES": "--width 256 --batch 1 --runs 1",
        "PYTEST_ADDOPTS": "tests/codec/test_golden.py --deselect tests/scripts",
    }
    command = [str(ROOT / "scripts/gpu_session.sh"), str(folder), str(out), "0.02", str(config)]
    steps = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        steps.append(json.loads((out / "metrics.json").read_text())["steps"])
        assert (out / "weights.safetensors").stat().st_size < 1 << 24
        speed = [json.loads(line) for line in (out / "speed.jsonl").read_text().splitlines()]
        assert speed[1]["width"] == 256 and speed[1]["seconds"]["decode"] > 0
        assert "passed" in (out / "golden.txt").read_text()
    assert min(steps) >= 1
