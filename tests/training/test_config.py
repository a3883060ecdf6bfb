import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

import panolink
from panolink.errors import ModelError
from panolink.training.config import LPIPS_IN_DECIBELS, SSIM_IN_DECIBELS, TrainingConfig


def test_configuration_errors(tmp_path: Path):
    with pytest.raises(ModelError, match=r"give base, decoder, perceptual, paper, vqgan or a .toml file"):
        TrainingConfig.load("best")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("learnin_rate = 1\n")
    with pytest.raises(ModelError, match="unknown setting 'learnin_rate'; known are adversarial_from"):
        TrainingConfig.load(wrong)
    wrong.write_text("learning_rate = \n")
    with pytest.raises(ModelError, match=r"wrong.toml: no TOML \(.*line 1"):
        TrainingConfig.load(wrong)


@pytest.mark.parametrize(
    "line", ['distortion = "MSE"', 'batch = "16"', "batch = 1.5", "scales = [0.4]", 'perceptual_network = "vgg"']
)
def test_values_that_make_no_sense(tmp_path: Path, line: str):
    (wrong := tmp_path / "wrong.toml").write_text(line + "\n")
    with pytest.raises(ModelError, match=f"wrong.toml: {line.split()[0]} = .*: "):
        TrainingConfig.load(wrong)
    wrong.write_text("learning_rate = 1\nscales = [0.5, 1]\n")
    assert TrainingConfig.load(wrong).scales == (0.5, 1.0), "whole numbers are numbers"


def test_the_card_of_base_names_what_its_configuration_has_otherwise():
    weights = Path(panolink.__file__).parent / "weights" / "base.safetensors"
    with safe_open(weights, framework="pt") as file:
        trained = json.loads(file.metadata()["card"])["config"]
    now = vars(TrainingConfig.load("base"))
    # How long a run takes, and how often it looks, is no part of what is trained.
    other = {name for name, value in trained.items() if tuple_of(value) != tuple_of(now[name])}
    other -= {"steps", "minutes", "validate_minutes", "checkpoint_minutes"}
    sentence = weights.with_suffix(".md").read_text().split("has these settings but for ")[1].split("|")[0]
    assert set(re.findall(r"`(\w+) = ", sentence)) == other


def tuple_of(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def test_runs_are_judged_by_what_they_are_for():
    figures = {"vpsnr0": 22.0, "vpsnr_at_0.1": 25.0, "vssim_at_0.1": 0.5, "lpips_at_0.1": 0.25}
    scores = {name: TrainingConfig.load(name).score(figures) for name in ("base", "perceptual", "paper", "vqgan")}
    base = 0.5 * 25.0 + 0.5 * 0.5 * SSIM_IN_DECIBELS - 0.25 * LPIPS_IN_DECIBELS
    assert scores == pytest.approx({"base": base, "perceptual": -0.25, "paper": 25.0, "vqgan": 22.0})


def test_a_run_for_structure_is_judged_by_it_too():
    config = TrainingConfig(structure=0.5)
    sharper, cleaner = {"vpsnr_at_0.1": 25.0, "vssim_at_0.1": 0.80}, {"vpsnr_at_0.1": 25.1, "vssim_at_0.1": 0.79}
    assert config.score(sharper) > config.score(cleaner)


def test_a_run_for_looks_as_well_is_judged_by_both():
    config = TrainingConfig(perceptual_weight=1.0)
    closer, nicer = {"vpsnr_at_0.1": 25.1, "lpips_at_0.1": 0.30}, {"vpsnr_at_0.1": 25.0, "lpips_at_0.1": 0.29}
    assert config.score(nicer) > config.score(closer)
    assert config.score(closer) > config.score({"vpsnr_at_0.1": 24.0, "lpips_at_0.1": 0.30})


def test_scores_by_the_same_measures_are_comparable():
    config = TrainingConfig(perceptual_weight=1.0)
    assert replace(config, perceptual_weight=3.0, rate=0.3).judged_by == config.judged_by
    for change in ({"perceptual_weight": 0.0}, {"structure": 0.1}, {"indices_only": True}, {"validation_images": 1}):
        assert replace(config, **change).judged_by != config.judged_by  # type: ignore[arg-type]
