"""`channel`, asked of a real service."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.cli.helpers import objects, one_line

pytestmark = pytest.mark.slow

Run = Callable[..., Result]


def test_change_the_channel(panolink: Run, link: dict[str, Any]):
    place = link["channel"]["listen"]
    before = objects(panolink("channel", place, "--json").stdout)[0]
    usual = {
        "model": "rayleigh",
        "snr_db": 20,
        "coherence_symbols": 256,
        "rician_k_db": 6,
        "seed": 1,
        "schedule": None,
    }
    assert before.items() >= usual.items()
    result = panolink("channel", place, "--model", "rician", "--snr", "7", "--rician-k", "3", "--unseeded", "--json")
    assert objects(result.stdout) == [before | {"model": "rician", "snr_db": 7, "rician_k_db": 3, "seed": None}]
    assert "rician" in panolink("channel", place).stdout
    panolink("channel", place, "--model", "rayleigh", "--snr", "20", "--seed", "1")
    assert "another kind of service" in one_line(panolink("channel", link["receiver"]["listen"]))


def test_the_channel_takes_files_and_other_units(panolink: Run, link: dict[str, Any], tmp_path: Path):
    place = link["channel"]["listen"]
    (before,) = objects(panolink("channel", place, "--json").stdout)
    fade = tmp_path / "fade.toml"
    fade.write_text("repeat = true\n[[phase]]\nseconds = 5\nsnr_db = 20\n[[phase]]\nseconds = 2\nsnr_db = [20, 2]\n")
    moving = ("--model", "tdl-c", "--speed", "30", "--carrier", "3.5", "--delay-spread", "300", "--subcarriers", "72")
    lossy = ("--erasure", "0.1", "--erasure-burst", "3", "--packet", "500", "--symbol-rate", "2e6", "--clock", "wall")
    (printed,) = objects(panolink("channel", place, *moving, *lossy, "--scenario", fade, "--json").stdout)
    assert printed["doppler_hz"] == pytest.approx(97.3, abs=0.1)
    assert printed["delay_spread_s"] == pytest.approx(300e-9)
    names = ("model", "subcarriers", "erasure_rate", "erasure_burst", "packet_symbols", "symbol_rate_hz", "clock")
    assert [printed[name] for name in names] == ["tdl-c", 72, 0.1, 3, 500, 2e6, "wall"]
    assert printed["schedule"] == "scenario of 2 phases, 7 s, then again"

    drive = tmp_path / "drive.csv"
    drive.write_text("time_s,snr_db\n0,12\n1,3\n")
    (printed,) = objects(panolink("channel", place, "--trace", drive, "--repeat-trace", "--json").stdout)
    assert printed["schedule"] == "SNR trace of 2 samples, 1 s, then again"
    fade.write_text(fade.read_text().replace("[20, 2]", "[20, low]"))
    assert f"{fade}, line 7: " in one_line(panolink("channel", place, "--scenario", fade))
    assert "absent.toml: No such file" in one_line(panolink("channel", place, "--scenario", tmp_path / "absent.toml"))
    assert "erasure_burst is 3.0; allowed at an" in one_line(panolink("channel", place, "--erasure", "0.8"))
    for pair in (("--doppler", "1", "--speed", "1"), ("--trace", drive, "--unscheduled"), ("--repeat-trace",)):
        assert panolink("channel", place, *pair).exit_code == 2
    back = ("--model", "rayleigh", "--doppler", "10", "--subcarriers", "64", "--symbol-rate", "1e6", "--erasure", "0")
    rest = ("--erasure-burst", "0", "--packet", "0", "--clock", "stream", "--unscheduled", "--json")
    assert objects(panolink("channel", place, *back, *rest).stdout) == [before]
