import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.link.segment_loss import Air, Draw
from panolink.images import save_image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
AWGN = Draw(Air.AWGN, (0, 0))


@pytest.mark.long
def test_one_command_measures_resumes_and_draws(tmp_path: Path, panorama: np.ndarray):
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install panolink[eval]")
    save_image(panorama, tmp_path / "pictures" / "a.png")
    command = [
        *(sys.executable, str(ROOT / "benchmarks/link/quality_over_snr.py"), str(tmp_path / "pictures"), "--json"),
        *("--codec", "webp", "--spp", "0.3", "--snr", "0", "--snr", "20", "--air", "awgn", "--draws", "1"),
        *("--measure", "vpsnr_db", "--cache", str(tmp_path / "cache")),
    ]
    first = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    curves = first["curves"]["awgn"]["0.3"]
    assert {"fixed", "adaptive", "analogue", "webp envelope", "webp at capacity"} <= set(curves)
    assert curves["webp 64qam 2/3"][0]["arrived"] < 1e-6 < 0.99 < curves["webp 64qam 2/3"][1]["arrived"]
    assert curves["adaptive"][1]["vpsnr_db"]["mean"] > curves["fixed"][1]["vpsnr_db"]["mean"]
    (kept,) = (tmp_path / "cache").glob("256x128-*.json")
    known = json.loads(kept.read_text())
    known["mean-colour"]["vpsnr_db"] = 3.25
    kept.write_text(json.dumps(known))
    second = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(second)["curves"]["awgn"]["0.3"]["webp 64qam 2/3"][0]["vpsnr_db"]["mean"] == pytest.approx(3.25)
    (tmp_path / "channel.json").write_text(second)
    plot = [sys.executable, str(ROOT / "benchmarks/link/plot_quality_over_snr.py"), str(tmp_path / "plots" / "channel")]
    subprocess.run([*plot, str(tmp_path / "channel.json")], capture_output=True, check=True)
    assert (tmp_path / "plots" / "channel-awgn-vpsnr_db.png").stat().st_size > 10_000
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- table awgn 0.3 vpsnr_db -->\n<!-- end -->\n<!-- table awgn 0.1 vpsnr_db -->\nold\n<!-- end -->\n"
    )
    tables = [sys.executable, str(ROOT / "benchmarks/link/snr_tables.py"), "--page", str(page)]
    subprocess.run([*tables, str(tmp_path / "channel.json")], capture_output=True, check=True)
    assert "| 20 | " in page.read_text() and page.read_text().count("old") == 1
