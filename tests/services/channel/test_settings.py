from pathlib import Path
from typing import Any

import pytest

from panolink.phy import Conditions, SnrTrace
from panolink.services.channel.settings import ChannelSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"doppler_hz": "5", "speed_kmh": "30"},
            "PANOLINK_CHANNEL_DOPPLER_HZ and PANOLINK_CHANNEL_SPEED_KMH: give one",
        ),
        (
            {"scenario": "absent.toml"},
            "PANOLINK_CHANNEL_SCENARIO=absent.toml: allowed is a scenario file: no such file",
        ),
        ({"scenario": "bad.toml"}, "PANOLINK_CHANNEL_SCENARIO=bad.toml: bad.toml, line 7: unknown setting 'second'"),
        ({"trace": "bad.csv"}, "PANOLINK_CHANNEL_TRACE=bad.csv: bad.csv, line 3: snr_db is 'x'; allowed: a number"),
        ({"model": "tdl-a", "doppler_hz": "5000"}, "PANOLINK_CHANNEL_…: doppler_hz is 5000.0 Hz; allowed with 64"),
        ({"erasure_rate": "2"}, "PANOLINK_CHANNEL_ERASURE_RATE=2: Input should be less than or equal to 1"),
    ],
)
def test_bad_settings_are_told_with_their_place(
    values: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from panolink.rpc.server.settings import load_settings

    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("[[phase]]\nseconds = 1\n\n[[phase]]\nseconds = 1\nsnr_db = 3\nsecond = 2\n")
    Path("bad.csv").write_text("time_s,snr_db\n0,1\n1,x\n")
    for name, value in values.items():
        monkeypatch.setenv(f"PANOLINK_CHANNEL_{name.upper()}", value)
    with pytest.raises(SystemExit):
        load_settings(ChannelSettings)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_settings_become_conditions(tmp_path: Path) -> None:
    trace = tmp_path / "drive.csv"
    trace.write_text("time_s,snr_db\n0,1\n1,2\n")
    settings = ChannelSettings(model="tdl-e", speed_kmh=30, carrier_hz=3.5e9, trace=trace, trace_repeat=True, seed=1)
    conditions = settings.conditions
    assert conditions.doppler_hz == pytest.approx(97.3, abs=0.1)
    assert conditions.schedule == SnrTrace((0.0, 1.0), (1.0, 2.0), repeat=True)
    assert ChannelSettings().conditions == Conditions()
