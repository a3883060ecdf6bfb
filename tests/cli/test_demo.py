"""`demo` as a real process: what a newcomer sees first."""

import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from panolink.cli.demo import _Showing, samples
from panolink.images import load_panorama
from tests.cli.helpers import ENVIRONMENT, PANOLINK, objects

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_demo_of_one_panorama(small: Path, tmp_path: Path):
    command = [*PANOLINK, "demo", str(small), "--out", str(tmp_path / "out"), "--bpp", "0.5", "--seed", "1"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "contact_sheet.png").write_bytes(b"the user's")
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0, done.stderr
    for word in ("Rayleigh channel, 10 dB", "bpp", "VPSNR", "VSSIM", "quantise", "FEC", "channel"):
        assert word in done.stdout
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["contact_sheet.png", "contact_sheet_2.png", "small_received.png", "small_side_by_side.png"]
    assert (tmp_path / "out" / "contact_sheet.png").read_bytes() == b"the user's"
    assert "contact_sheet_2.png are in" in done.stdout.replace("\n", " ")
    assert load_panorama(tmp_path / "out" / "small_received.png").shape == (128, 256, 3)


@pytest.mark.long
def test_demo_as_json_goes_on_after_a_bad_file(small: Path, tmp_path: Path):
    (tmp_path / "bad.png").write_text("not a picture")
    command = [*PANOLINK, "demo", str(tmp_path / "bad.png"), str(small), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run([*command, "--fading", "ideal"], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 1
    printed = objects(done.stdout)
    assert {one["source"]: one["delivered"] for one in printed} == {str(tmp_path / "bad.png"): False, str(small): True}
    assert "panolink: " in done.stderr and "bad.png: not an image" in done.stderr


def test_demo_is_interrupted(small: Path, tmp_path: Path):
    command = [*PANOLINK, "demo", str(small), "--out", str(tmp_path / "out")]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children")
    while len(children.read_text().split()) < 3 and demo.poll() is None:
        time.sleep(0.02)
    started = children.read_text().split()
    demo.send_signal(signal.SIGINT)
    _, log = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "panolink: demo: interrupted" in log and "Traceback" not in log
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


def test_two_sources_of_one_name_have_two_pictures(tmp_path: Path):
    """Also where pictures of earlier runs are replaced."""
    (tmp_path / "x_side_by_side.png").write_bytes(b"of an earlier run")
    showing = _Showing(tmp_path, "title", overwrite=True, json=True)
    picture = np.zeros((32, 64, 3), np.uint8)
    delivery = SimpleNamespace(
        picture=picture, activation=np.zeros((2, 4), np.uint8), bpp=0.1, segments=SimpleNamespace(lost=0, sent=1)
    )
    for source in ("a/x.jpg", "b/x.jpg"):
        result: Any = SimpleNamespace(source=source, vpsnr_db=30.0, vssim=0.9, delivery=delivery)
        showing._compare(result, picture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x_side_by_side.png", "x_side_by_side_2.png"]
    assert (tmp_path / "x_side_by_side.png").read_bytes().startswith(b"\x89PNG")


def testsamples_are_found():
    assert len(list(samples().glob("*.webp"))) >= 3
