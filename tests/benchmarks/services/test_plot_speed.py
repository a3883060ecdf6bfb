import json
from pathlib import Path

import pytest

from benchmarks.services.plot_speed import COLOURS, main, milliseconds


@pytest.fixture
def speeds(tmp_path: Path) -> Path:
    file = tmp_path / "speeds.json"
    seconds = {stage: 0.01 * (number + 1) for number, stage in enumerate(COLOURS)}
    file.write_text("a line before\n" + json.dumps({"codec_cpu_seconds": {**seconds, "total": 0.15}}) + "\n")
    return file


def test_stages_are_read_in_milliseconds(speeds: Path):
    assert milliseconds(speeds) == pytest.approx(dict(zip(COLOURS, (10, 20, 30, 40, 50), strict=True)))


def test_the_figure_tells_what_is_outside_the_networks(speeds: Path, tmp_path: Path):
    pytest.importorskip("matplotlib")
    main([f"before={speeds}", f"now={speeds}"], tmp_path / "time")
    text = (tmp_path / "time.svg").read_text()
    assert text.count("90 of 150 ms outside the networks") == 2 and "before" in text
    assert (tmp_path / "time.png").stat().st_size > 0
