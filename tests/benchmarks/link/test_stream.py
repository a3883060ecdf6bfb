import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.link import stream, stream_air, stream_page
from benchmarks.link.stream_page import bits_for
from panolink.errors import PanolinkError
from panolink.images import encode_png


def test_a_view_is_what_lies_there(panorama: np.ndarray):
    assert stream.view_psnr(panorama, panorama, 30, 10) == np.inf
    spoilt = panorama.copy()
    spoilt[:, :20] ^= 0x3F
    assert stream.view_psnr(panorama, spoilt, 0, 0) == np.inf > stream.view_psnr(panorama, spoilt, 180, 0)


def test_bits_of_single_pictures_lie_between_points():
    curve = [[0.1, 30.0], [0.4, 34.0]]
    assert bits_for(curve, 32.0) == pytest.approx(0.2)
    assert bits_for(curve, 29.0) is None and bits_for(curve, 35.0) is None


def test_scenes_of_other_settings_are_not_mixed(tmp_path: Path):
    file, settings = tmp_path / "rate.json", {"model": "base-1", "panoramas": ["a", "b"]}
    assert stream.measured_before(file, settings) == {}
    file.write_text(json.dumps({**settings, "found": {"still": {}}}))
    assert stream.measured_before(file, settings) == {"still": {}}
    with pytest.raises(PanolinkError, match="another model, panoramas: remove it"):
        stream.measured_before(file, {"model": "base-2", "panoramas": ["a"]})


@pytest.mark.long
def test_each_part_is_measured_and_the_page_written(
    panorama: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """At a size at which it takes seconds."""
    monkeypatch.setattr(stream, "KILOBITS", (50, 500))
    monkeypatch.setattr(stream, "SCENES", ("still",))
    monkeypatch.setattr(stream, "FOCUS_BPP", (0.2,))
    monkeypatch.setattr(stream_page, "AS_RATE", ("50", "500"))
    monkeypatch.setattr(stream_air, "SYMBOLS_PER_PIXEL", 0.08)  # a base layer takes more of a small picture
    folder, results, page = tmp_path / "panoramas", tmp_path / "results", tmp_path / "page.md"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode_png(panorama))
    heads = tmp_path / "heads.csv"
    heads.write_text("video,person,seconds,yaw_deg,pitch_deg\n1,2,0,0,0\n1,2,9,90,0\n")
    runner = CliRunner()
    app = stream.typer.Typer()
    app.command()(stream.main)
    for part in stream.PARTS:
        options = ["--width", "256", "--pictures", "20", "--heads", str(heads), "--moments", "2"]
        result = runner.invoke(app, [part, str(folder), "--results", str(results), *options])
        assert result.exit_code == 0, (part, result.output, result.exception)
        assert json.loads((results / f"{part}.json").read_text())["panoramas"] == ["a"]
    tables = ["rate still", "time still 500", "share", "flicker still", "focus", "heads", "loss", "air", "cost"]
    page.write_text("\n".join(f"<!-- table {words} -->\n<!-- end -->" for words in tables))
    monkeypatch.setattr(stream_page, "draw_rate", lambda *_: None)
    stream_page.main(results, page, tmp_path)
    written = page.read_text()
    assert written.count("\n| --- |") == len(tables) and (tmp_path / "stream_air.png").exists()
    assert "nan" not in written
