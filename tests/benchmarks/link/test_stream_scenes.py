from pathlib import Path

import numpy as np
import pytest

from benchmarks.link.stream_scenes import NOISE, SCENES, direction, heads, scene


@pytest.mark.parametrize("name", SCENES)
def test_scenes_have_noise_and_what_they_are_named_for(name: str):
    flat = np.full((64, 128, 3), 100, np.uint8)
    flat[:, ::16] = 140
    pictures = np.stack(list(scene(flat, name, 8))).astype(float)
    assert pictures.shape == (8, 64, 128, 3)
    if name != "objects":
        assert np.std(pictures[0] - flat) == pytest.approx(NOISE, rel=0.1)
    changed = np.abs(pictures[7] - pictures[0]).mean()
    assert (changed < 2.6) == (name == "still"), "of 255; noise alone makes 2.3"


def test_unknown_scenes():
    with pytest.raises(ValueError, match="there are still"):
        list(scene(np.zeros((16, 32, 3), np.uint8), "storm", 1))


def test_heads_are_split_by_person_and_turn_the_shorter_way(tmp_path: Path):
    file = tmp_path / "heads.csv"
    rows = ["6,10,0.0,170,0", "6,10,0.1,-170,10", "6,12,0.0,5,5"]
    file.write_text("\n".join(["video,person,seconds,yaw_deg,pitch_deg", *rows]))
    reported, tuning = heads(file), heads(file, tuning=True)
    assert list(reported) == [("6", "10")] and list(tuning) == [("6", "12")]
    assert direction(reported["6", "10"], 0.05) == (180, 5)
