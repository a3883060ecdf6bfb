import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.training.checkpoint import load_pieces
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
    (tmp_path / "panoramas.csv").write_text("\n".join(["id,group", *rows]) + "\n")
    return folder


def pack(*arguments: object, check: bool = True) -> str:
    command = [sys.executable, str(ROOT / "scripts/pack_panoramas.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=check)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_packing_keeps_names_and_the_split(folder: Path, tmp_path: Path):
    target = tmp_path / "packed.v1"
    assert "6 panoramas" in pack(folder, "--out", target, "--width", 256)
    with Image.open(target / "3.webp") as image:
        assert image.size == (256, 128)
    held_out = [p.stem for p in validation_files(folder)]
    assert [p.stem for p in validation_files(target)] == held_out != []
    with (tmp_path / "packed.v1.csv").open(newline="") as file:
        assert sorted(row["id"] for row in csv.DictReader(file) if row["held_out"] == "1") == held_out
    (tmp_path / "more").mkdir()
    (folder / "3.png").rename(tmp_path / "more" / "3.png")
    Image.new("RGB", (64, 32)).save(folder / "3.png")
    refused = pack(folder, tmp_path / "more", "--out", tmp_path / "two", "--width", 256, check=False)
    assert "two panoramas are called '3'" in " ".join(refused.split()) and not (tmp_path / "two").exists()


@pytest.mark.slow
def test_pieces_hold_a_place_each_before_a_second_of_any(folder: Path, tmp_path: Path):
    sizes = {p.stem: p.stat().st_size for p in _packed(folder, tmp_path / "all", 100)}
    held_out = {p.stem for p in validation_files(folder)}
    first = next(name for name in sizes if name not in held_out)
    limit = (sum(sizes[name] for name in held_out) + 2.5 * sizes[first]) / 2**20
    pieces = [{p.stem for p in _packed(folder, tmp_path / str(i), limit, i)} for i in (1, 2)]
    assert pieces[0] & pieces[1] == held_out and pieces[0] | pieces[1] == set(sizes)
    for piece in pieces:
        assert len({int(name) // 2 for name in piece - held_out}) == 2, "one of each source"


def _packed(folder: Path, target: Path, mebibytes: float, piece: int = 1) -> list[Path]:
    pack(folder, "--out", target, "--width", 256, "--mebibytes", mebibytes, "--piece", piece)
    return sorted(target.glob("*.webp"))


@pytest.mark.long
def test_a_session_on_a_gpu_ends_in_time_and_leaves_a_state(folder: Path, tmp_path: Path):
    """Here on a CPU, and short: what comes home is a state to go on from, figures and the golden check."""
    for file in folder.iterdir():  # validation takes its time, and there is little
        Image.open(file).resize((256, 128)).save(file)
    config = tmp_path / "tiny.toml"
    config.write_text('profile = "base"\ncrop = 64\n')
    out = tmp_path / "out"
    environment = os.environ | {
        "PYTHON": sys.executable,
        "BATCH": "2",
        "TRAIN": "--validation-images 1",
        "SPEED": "--width 256 --batch 1 --runs 1",
        "PARTS": "train speed",
        "TAIL": "40",
    }
    for minutes in ("1.4", "3.2"):  # a machine with other things to do says that there is no time, and gets more
        command = [str(ROOT / "scripts/gpu_session.sh"), str(folder), str(out), minutes, str(config), "base"]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if "no time to train in" not in done.stderr:
            break
    assert time.monotonic() - began < 60 * float(minutes)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["steps"] > 1 and figures["crops_a_second"] > 0 and 0 < figures["share_of_floor"] < 1
    assert figures["validation"]["vpsnr_at_0.1"] > 15 and figures["before"]["vpsnr_at_0.1"] > 15
    assert set(load_pieces(out)) > {"codebook", "averager.symbol_pmf"}
    assert all(file.stat().st_size < 1 << 24 for file in out.iterdir()) and len(list(out.iterdir())) <= 8
    speed = [json.loads(line) for line in (out / "speed.jsonl").read_text().splitlines()]
    assert speed[1]["width"] == 256 and speed[1]["seconds"]["decode"] > 0
