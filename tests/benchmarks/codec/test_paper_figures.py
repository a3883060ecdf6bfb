import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.codec.paper_figures import PUBLISHED, vqgans_below, with_one_vqgan
from benchmarks.codec.plot_rate_distortion import draw
from panolink.codec.model import save_model
from panolink.codec.networks.autoencoder import VQGANS, Autoencoder
from panolink.errors import ModelError
from panolink.images import save_image
from panolink.training.fit_tables import fit_tables

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with two VQGANs, tiny and untrained, and something else beside them."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    for profile in (VQGANS[2], VQGANS[0]):
        target = folder / profile.name / "weights.safetensors"
        target.parent.mkdir()
        channels = (4,) * len(profile.encoder_channels)
        network = Autoencoder(replace(profile, dim=4, codes=16, encoder_channels=channels)).eval()
        noise = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
        save_model(target, network=network, tables=fit_tables(network, [noise]), card={})
    (folder / "base").mkdir()
    return folder


def point(bpp: float, vpsnr_db: float) -> dict[str, float]:
    return {"bpp": bpp, "vpsnr_db": vpsnr_db}


MEANS = {
    "jpeg": {"q=2": point(0.1, 20.0), "q=9": point(0.3, 26.0)},
    "vqgan-f16-k256": {"tau=0": point(0.02, 21.0)},
    "vqgan-f8-k1024": {"tau=0": point(0.12, 23.0)},
    "base": {"q=1@8": point(0.1, 28.0)},
    "paper": {"q=1@8": point(0.1, 25.0)},
}


def test_vqgans_are_one_curve():
    found = with_one_vqgan(MEANS)
    assert list(found) == ["jpeg", "paper", "VQGAN", "base"]
    assert [p["bpp"] for p in found["VQGAN"].values()] == [0.02, 0.12]
    without = {name: settings for name, settings in MEANS.items() if not name.startswith("vqgan")}
    assert list(with_one_vqgan(without)) == ["jpeg", "paper", "base"]


def test_what_others_published_is_drawn_where_it_was_measured(tmp_path: Path):
    draw(with_one_vqgan(MEANS), tmp_path / "with", published=PUBLISHED)
    draw(with_one_vqgan(MEANS), tmp_path / "without")
    svg = (tmp_path / "with.svg").read_text()
    assert all(f">{label}<" in svg for label in (*PUBLISHED, "VQGAN", "jpeg"))
    assert not any(label in (tmp_path / "without.svg").read_text() for label in PUBLISHED)


def test_a_vqgan_sends_indices_alone(runs: Path, panorama: np.ndarray):
    subjects = vqgans_below(runs)
    assert [subject.name for subject in subjects] == ["vqgan-f16-k256", "vqgan-f8-k1024"]
    for subject, factor in zip(subjects, (16, 8), strict=True):
        assert subject.settings == ("tau=0",)
        data, decoded, reached = subject.code(panorama, "tau=0")
        assert reached and decoded.shape == panorama.shape
        assert len(data) < 60 + panorama.size // 3 // factor**2  # sixteen codes are half a byte


def test_a_folder_without_vqgans_is_told(runs: Path, tmp_path: Path):
    with pytest.raises(ModelError, match=r"no vqgan-…/weights.safetensors below it"):
        vqgans_below(tmp_path)
    (tmp_path / "vqgan-mine").mkdir()
    shipped = ROOT / "shared/panolink/weights/paper.safetensors"
    (tmp_path / "vqgan-mine" / "weights.safetensors").symlink_to(shipped)
    with pytest.raises(ModelError, match="a model of profile 'paper'; VQGANs are vqgan-f16-k256"):
        vqgans_below(tmp_path)


@pytest.mark.long
def test_all_figures_from_one_command(runs: Path, panorama: np.ndarray, tmp_path: Path):
    save_image(panorama, tmp_path / "pictures" / "a.png")
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- table paper targets vpsnr_db -->\nold\n<!-- end -->\n<!-- table paper same-size -->\n<!-- end -->"
    )
    command = [
        *(sys.executable, str(ROOT / "benchmarks/codec/paper_figures.py"), str(tmp_path / "pictures")),
        *("--vqgan", str(runs), "--width", str(panorama.shape[1]), "--perceptual-limit", "0", "--tau-limit", "1"),
        *("--box", f"{tmp_path}/pictures/a.png@128,64", "--page", str(page), "--bpp", "0.6"),
        *("--images", str(tmp_path), "--results", str(tmp_path), "--cache", str(tmp_path / "cache")),
    ]
    subprocess.run(command, check=True, capture_output=True)
    made = {file.name for file in tmp_path.glob("paper-*")}
    assert {"paper-curves.png", "paper-curves.svg", "paper-tau.svg", "paper-visual.webp"} <= made
    assert "old" not in page.read_text() and "vqgan-f16-k256, asked for tau=0" in page.read_text()
    means = json.loads((tmp_path / "paper.json").read_text())["means"]
    assert set(means) == {"jpeg", "vqgan-f16-k256", "vqgan-f8-k1024", "base", "paper"}
