from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.codec import rate_distortion_page
from benchmarks.codec.plot_rate_distortion import draw
from benchmarks.codec.rate_distortion import compare
from benchmarks.codec.rate_distortion_page import filled
from benchmarks.lib.rate_points import BASELINES, CachedCodec, baseline, model
from panolink.errors import PanolinkError
from panolink.images import save_image

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(panorama: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two small pictures by two codecs and a model."""
    folder, targets, measures = tmp_path_factory.mktemp("pictures"), (0.02, 0.6), ("vpsnr_db", "vssim")
    images = [folder / "a.png", folder / "b.png"]
    for path, picture in zip(images, (panorama, panorama[:, ::-1].copy()), strict=True):
        save_image(picture, path)
    cache = folder / "cache"
    baselines = [baseline(CachedCodec(BASELINES[name], cache), targets) for name in ("jpeg", "webp")]
    models = [model("base", targets)]
    return compare(images, None, baselines, models, targets, measures, cache, Console(quiet=True), ["webp"])


def table(page: str) -> dict[str, list[str]]:
    """Cells by the first of their row."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.long
def test_targets_are_told_with_what_was_reached(result: dict[str, Any]):
    page = filled("above\n<!-- table small targets vpsnr_db -->\nold\n<!-- end -->\nbelow\n", {"small": result})
    assert page.startswith("above\n<!-- table small targets vpsnr_db -->\n|") and page.endswith("<!-- end -->\nbelow\n")
    assert "old" not in page
    cells = table(page)
    assert cells["VPSNR dB (higher is better)"] == ["0.02 bpp", "0.6 bpp"]
    assert cells["webp"][0].endswith("0/2)") and float(cells["webp"][1]) > float(cells["webp"][0].split()[0])
    assert float(cells["webp"][1]) == round(result["means"]["webp"]["bpp=0.6"]["vpsnr_db"], 2)


def test_same_size_is_of_the_rivals_asked_for(result: dict[str, Any]):
    page = filled("<!-- table small same-size -->\n<!-- end -->", {"small": result})
    assert "webp, asked for 0.6" in page and "jpeg" not in page


def test_bd_rates_are_against_jpeg(result: dict[str, Any]):
    cells = table(filled("<!-- table small bd-rate -->\n<!-- end -->", {"small": result}))
    assert set(cells) == {"against jpeg", "---", "webp", "base"}
    assert all(cell.startswith("−") for cell in cells["webp"]), "WebP saves bits against JPEG"


def test_head_to_head_is_over_what_both_reach(result: dict[str, Any]):
    cells = table(filled("<!-- table small head-to-head -->\n<!-- end -->", {"small": result}))
    assert {"base against jpeg", "base against webp"} < set(cells)
    rate = result["head_to_head"]["base"]["webp"]["vpsnr_db"]
    least = {
        name: min(p["vpsnr_db"] for setting, p in result["means"][name].items() if setting.startswith("q="))
        for name in ("base", "webp")
    }
    assert rate["worst"] == pytest.approx(max(least.values()))
    assert result["head_to_head"]["base"]["jpeg"] == result["bd_rate"]["base"]


def test_a_picture_that_cannot_be_read_leaves_the_page_as_it_is(
    panorama: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = replace(rate_distortion_page.RUNS["2048"], width=panorama.shape[1], codecs=("jpeg",), measures=("vpsnr_db",))
    monkeypatch.setattr(rate_distortion_page, "RUNS", {"small": run})
    save_image(panorama, tmp_path / "pictures" / "a.png")
    (tmp_path / "pictures" / "b.png").write_bytes(b"nonsense")
    page = tmp_path / "page.md"
    page.write_text("<!-- table small targets vpsnr_db -->\nold\n<!-- end -->\n")
    cache, results, images = (tmp_path / name for name in ("cache", "results", "images"))
    with pytest.raises(PanolinkError, match=r"b\.png could not be read: no page"):
        rate_distortion_page.main(
            tmp_path / "pictures", ["none"], bpp=[0.6], page=page, cache=cache, results=results, images=images
        )
    assert "old" in page.read_text() and not results.exists()


def test_tables_of_other_runs_stay(result: dict[str, Any]):
    page = "<!-- table large bd-rate -->\nkept\n<!-- end -->"
    assert filled(page, {"small": result}) == page


def test_curves_are_drawn_the_same_every_time(result: dict[str, Any], tmp_path: Path):
    for name in ("a", "b"):
        draw(result["means"], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").stat().st_size > 1000
