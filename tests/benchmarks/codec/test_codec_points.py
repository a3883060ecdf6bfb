from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks.codec import codec_points
from benchmarks.codec.codec_points import read, write
from benchmarks.lib import rate_points, revisions
from benchmarks.lib.image_codecs import PILLOW_CODECS
from benchmarks.lib.rate_points import Subject, baseline, points

SETTINGS = {"q=30": "q=30", "bpp=0.5": "bpp=0.5"}


def measured(subject: Subject, cache: Path) -> list:
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    return list(points(subject, image, SETTINGS, ["ws_psnr_db"], cache))


def test_points_that_were_written_need_not_be_measured_again(tmp_path: Path):
    jpeg = baseline(PILLOW_CODECS["jpeg"], [0.5])
    first = measured(jpeg, tmp_path / "cache")
    write(tmp_path / "points.csv", tmp_path / "cache")
    read(tmp_path / "points.csv", tmp_path / "other")

    def code(image: np.ndarray, setting: str):
        raise AssertionError(f"{setting} was coded again")

    again = measured(Subject(jpeg.name, jpeg.version, jpeg.settings, code), tmp_path / "other")
    for (label, one), (other_label, other) in zip(first, again, strict=True):
        assert label == other_label and one.reached == other.reached
        assert other.bpp == pytest.approx(one.bpp, rel=1e-5)
        assert other.scores == pytest.approx(one.scores, rel=1e-4)


def test_points_of_models_are_not_published(tmp_path: Path):
    jpeg = PILLOW_CODECS["jpeg"]
    own = Subject("base", "base-1234", ("q=30",), baseline(jpeg, [0.5]).code)
    measured(own, tmp_path / "cache")
    with pytest.raises(typer.BadParameter, match="no points of other codecs"):
        write(tmp_path / "points.csv", tmp_path / "cache")


def test_what_other_code_has_scored_stays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Or a page would compare scores of two kinds."""
    jpeg, coded = baseline(PILLOW_CODECS["jpeg"], [0.5]), []

    def code(image: np.ndarray, setting: str):
        coded.append(setting)
        return jpeg.code(image, setting)

    counted = Subject(jpeg.name, jpeg.version, jpeg.settings, code)
    for _ in range(2):
        measured(counted, tmp_path / "cache")
    assert coded == list(SETTINGS)
    write(tmp_path / "points.csv", tmp_path / "cache")
    for module in (revisions, rate_points, codec_points):
        monkeypatch.setattr(module, "of_measures", lambda: "changed")
    with pytest.raises(typer.BadParameter, match="no points of other codecs"):
        write(tmp_path / "none.csv", tmp_path / "cache")
    read(tmp_path / "points.csv", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    measured(counted, tmp_path / "cache")
    assert coded == 2 * list(SETTINGS)


def test_what_was_measured_stays(tmp_path: Path):
    jpeg = baseline(PILLOW_CODECS["jpeg"], [0.5])
    first = measured(jpeg, tmp_path / "cache")
    write(tmp_path / "points.csv", tmp_path / "cache")
    table = (tmp_path / "points.csv").read_text().splitlines()
    table = [table[0], *(",".join([*row.split(",")[:3], "9", *row.split(",")[4:]]) for row in table[1:])]
    (tmp_path / "points.csv").write_text("\n".join(table))
    read(tmp_path / "points.csv", tmp_path / "cache")
    assert measured(jpeg, tmp_path / "cache") == first
