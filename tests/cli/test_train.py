import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from typer.testing import Result

from panolink.codec.model import load_model
from panolink.training.checkpoint import save_pieces, save_state
from panolink.training.trainer import Trainer
from panolink.training.warm_start import starting_state
from tests.cli.helpers import objects, one_line

Run = Callable[..., Result]


@pytest.fixture
def data(panorama: np.ndarray, tmp_path: Path) -> Path:
    """Four tiny panoramas, turned about the vertical axis."""
    folder = tmp_path / "panoramas"
    folder.mkdir()
    for number in range(4):
        turned = np.roll(panorama, 64 * number, axis=1)
        Image.fromarray(turned).resize((128, 64)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text('profile = "base"\nbatch = 2\ncrop = 64\nvalidation_images = 1\n')
    return path


@pytest.mark.long
def test_train_stop_and_go_on(panolink: Run, data: Path, tiny: Path, small: Path, tmp_path: Path):
    run = tmp_path / "runs" / "tiny"
    command = ("train", "--data", data, "--config", tiny, "--out", run, "--steps", "1", "--fit-on", "1", "--json")
    result = panolink(*command, "--start", "base")
    assert result.exit_code == 0, result.output
    (printed,) = objects(result.stdout)
    assert printed["steps"] == 1 and printed["validation"]["vpsnr_at_0.1"] > 15
    assert json.loads((run / "metrics.json").read_text())["steps"] == 1
    assert (run / "metrics.jsonl").exists() and list(run.glob("events.out.tfevents.*"))

    result = panolink(*command)
    assert objects(result.stdout)[0]["steps"] in (1, 2), "of the better weights"
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 2

    model = run / "weights.safetensors"
    result = panolink("encode", small, tmp_path / "a.plk", "--model", model, "--tau", "0", "--json")
    assert objects(result.stdout)[0]["model"] == "weights"
    assert panolink("decode", tmp_path / "a.plk", tmp_path / "a.png", "--model", model).exit_code == 0


@pytest.mark.long
def test_train_a_decoder(panolink: Run, data: Path, small: Path, tmp_path: Path):
    config, run = tmp_path / "looks.toml", tmp_path / "runs" / "looks"
    config.write_text(
        'profile = "base"\ndecoder_only = true\nperceptual_weight = 12.0\nbatch = 2\ncrop = 64\nvalidation_images = 1\n'
    )
    command = ("train", "--data", data, "--config", config, "--out", run, "--steps", "1", "--json")
    assert "--start" in one_line(panolink(*command))
    (printed,) = objects(panolink(*command, "--start", "base").stdout)
    assert 0 < printed["validation"]["lpips_at_0.1"] < 1

    packet, weights = tmp_path / "a.plk", run / "weights.safetensors"
    assert panolink("encode", small, packet, "--tau", "0.5").exit_code == 0
    assert panolink("decode", packet, tmp_path / "a.png", "--decoder", weights).exit_code == 0
    assert panolink("decode", packet, tmp_path / "b.png").exit_code == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@pytest.mark.long
def test_a_run_without_an_end_is_finished_and_exported(
    panolink: Run, data: Path, tiny: Path, small: Path, tmp_path: Path
):
    run = tmp_path / "runs" / "tiny"
    command = ("train", "--data", data, "--config", tiny, "--out", run, "--copies", "1", "--json")
    assert "no checkpoint.safetensors there" in one_line(panolink(*command, "--finish", "1"))
    assert "no best.safetensors there" in one_line(panolink(*command, "--export-only"))
    wrong = panolink(*command, "--endless", "--minutes", "1")
    assert wrong.exit_code == 2 and "exclude each other" in wrong.stderr
    result = panolink(*command, "--start", "base", "--endless", "--steps", "1", "--no-export")
    assert result.exit_code == 0, result.output
    assert not (run / "weights.safetensors").exists() and "model" not in objects(result.stdout)[0]
    (finished,) = objects(panolink(*command, "--finish", "5", "--steps", "1", "--no-export").stdout)
    with safe_open(run / "checkpoint.safetensors", framework="pt") as file:
        counters = json.loads(file.metadata()["counters"])
    assert counters["step"] == 2 and counters["config"]["decay_share"] == 1
    (exported,) = objects(panolink(*command, "--export-only").stdout)
    assert exported["steps"] == finished["steps"] in (1, 2), "of the better weights"
    assert exported["validation"] == finished["validation"] and exported["validation"]["vpsnr_at_0.1"] > 15
    packet = tmp_path / "a.plk"
    assert panolink("encode", small, packet, "--tau", "0", "--model", exported["model"]).exit_code == 0


def test_a_run_that_a_signal_stops_makes_no_model(
    panolink: Run, data: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stopped(trainer: Trainer) -> dict[str, float]:
        trainer.stopped = True
        return {"vpsnr_at_0.1": 20.0}

    monkeypatch.setattr(Trainer, "run", stopped)
    run = tmp_path / "run"
    result = panolink("train", "--data", data, "--config", tiny, "--out", run, "--start", "base", "--json")
    assert result.exit_code == 0, result.output
    assert f"no model is made; --export-only makes one of {run}/best.safetensors" in result.stderr
    assert "model" not in objects(result.stdout)[0] and not (run / "weights.safetensors").exists()


def test_a_decoder_of_what_is_no_finished_model_is_refused_before_it_is_trained(
    panolink: Run, data: Path, tmp_path: Path
):
    config, run = tmp_path / "decoder.toml", tmp_path / "run"
    config.write_text('profile = "base"\ndecoder_only = true\nbatch = 2\ncrop = 64\nvalidation_images = 1\n')
    command = ("train", "--data", data, "--config", config, "--out", run, "--steps", "1", "--start")
    state = starting_state(load_model("base"), tokens=8)
    save_state(tmp_path / "best.safetensors", state)
    assert "a state, not a model" in one_line(panolink(*command, tmp_path / "best.safetensors"))
    pieces = tmp_path / "pieces"
    pieces.mkdir()
    save_pieces(pieces, state | {"codebook": state["codebook"] + 1})
    assert "a decoder for other codes than those of 'base'" in one_line(panolink(*command, pieces))
    assert not (run / "metrics.jsonl").exists()


def test_what_cannot_be_trained(panolink: Run, data: Path, tiny: Path, tmp_path: Path):
    common = ("train", "--out", tmp_path / "run", "--data")
    assert "no such folder" in one_line(panolink(*common, tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    assert "no panoramas there" in one_line(panolink(*common, tmp_path / "empty"))
    assert "'nope'" in one_line(panolink(*common, data, "--config", "nope"))
    assert "unknown model 'nope'" in one_line(panolink(*common, data, "--start", "nope"))
    assert "unknown profile 'x'; there are base, paper, vqgan" in one_line(panolink(*common, data, "--profile", "x"))
    assert "profile 'base'" in one_line(panolink(*common, data, "--config", "paper", "--start", "base"))
    line = one_line(panolink(*common, data, "--start", tmp_path / "absent.safetensors"))
    assert "absent.safetensors" in line
