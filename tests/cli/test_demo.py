"""`demo` as a real process: what a newcomer sees first."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from panolink.cli.demo import samples
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


def testsamples_are_found():
    assert len(list(samples().glob("*.webp"))) >= 3
