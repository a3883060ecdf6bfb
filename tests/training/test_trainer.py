import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import BatchNorm2d

from panolink.codec.codec import Codec
from panolink.codec.networks.autoencoder import PROFILES
from panolink.codec.networks.blocks import ResidualBlock
from panolink.training.checkpoint import save_checkpoint
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.export import export_model
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
    assert trainer.model.profile.family == "base" or not any(
        module.training for module in trainer.model.modules() if isinstance(module, BatchNorm2d)
    )
    blocks = [module for module in trainer.model.modules() if isinstance(module, ResidualBlock)]
    assert all(block.first.bias.abs().max() > 0 and not block.first.bias.requires_grad for block in blocks)  # centred
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


@pytest.mark.slow
def test_training_lowers_the_distortion(cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = replace(TrainingConfig.load("base"), **QUICK)
    trainer = Trainer(config, cache, tmp_path)
    batch = next(trainer.batches())
    errors = []
    for _ in range(60):
        torch.manual_seed(3)  # the same steps and shares each time
        errors.append(float(trainer.train_step(*batch, adversarial=False)["mse"]))
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
    assert report["mse"] < 0.5 * 16 * (pixels.float() - pixels.float().mean()).abs().mean()
    assert report["bpp"] > 0
    inner = sum(len(group["params"]) for group in trainer.optimizers["muon"].param_groups)
    kernels = [p for p in trainer.model.parameters() if p.ndim == 4 and p.shape[-1] == 3]
    assert inner == len(kernels) - 4
    vqgan = Trainer(replace(TrainingConfig.load("vqgan"), **QUICK), cache, tmp_path / "vqgan")
    assert float(vqgan.train_step(pixels, latitude, weight, adversarial=True)["bpp"]) == 0
