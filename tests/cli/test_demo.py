"""`demo` as a real process: what a newcomer sees first."""

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

from panolink.cli.contact_sheet import Shown, coloured, contact_sheet, side_by_side
from panolink.cli.demo import _samples
from panolink.images import load_panorama
from tests.cli.helpers import ENVIRONMENT, PANOLINK, objects


def test_demo_of_one_panorama(small: Path, tmp_path: Path):
    command = [*PANOLINK, "demo", str(small), "--out", str(tmp_path / "out"), "--bpp", "0.5", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0, done.stderr
    for word in ("Rayleigh channel, 10 dB", "bpp", "VPSNR", "VSSIM", "quantise", "FEC", "channel"):
        assert word in done.stdout
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["contact_sheet.png", "small_received.png", "small_side_by_side.png"]
    assert load_panorama(tmp_path / "out" / "small_received.png").shape == (128, 256, 3)


def test_demo_as_json_goes_on_after_a_bad_file(small: Path, tmp_path: Path):
    (tmp_path / "bad.png").write_text("not a picture")
    command = [*PANOLINK, "demo", str(tmp_path / "bad.png"), str(small), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run([*command, "--fading", "ideal"], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 1
    told = objects(done.stdout)
    assert {one["source"]: one["delivered"] for one in told} == {str(tmp_path / "bad.png"): False, str(small): True}
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


def test_samples_are_found():
    assert len(list(_samples().glob("*.webp"))) >= 3


def test_pictures_have_their_panels():
    random = np.random.default_rng(1)
    sent = random.integers(0, 256, (64, 128, 3), dtype=np.uint8)
    shown = Shown("noise", sent, 255 - sent, random.integers(0, 256, (4, 8), dtype=np.uint8), "0.1 bpp")
    picture = side_by_side(shown)
    assert picture.dtype == np.uint8 and picture.shape[1] > 3 * 128
    sheet = contact_sheet([shown, shown], title="two")
    assert sheet.shape[0] > 2 * 260 and sheet.shape[2] == 3
    Image.fromarray(sheet)


def test_colours_go_from_dark_to_bright():
    ramp = coloured(np.arange(256, dtype=np.uint8)[None])
    brightness = ramp[0].astype(float) @ (0.299, 0.587, 0.114)
    assert ramp.shape == (1, 256, 3)
    assert (np.diff(brightness) >= -1).all() and brightness[0] < 5 and brightness[-1] > 240
    assert coloured(np.zeros((2, 2), dtype=np.uint8)).max() <= 4
