from dataclasses import replace
from pathlib import Path

import pytest
import torch

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.errors import ModelError
from panolink.training.checkpoint import save_pieces, save_state
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.trainer import Trainer
from panolink.training.warm_start import beginning, profile_for

SAMPLES = Path(__file__).parent.parent.parent / "samples"


QUICK = {"batch": 2, "crop": 64, "validation_images": 1, "warm_up": 1}


def test_a_state_in_pieces_is_a_start(cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = replace(TrainingConfig.load("base"), steps=1, **QUICK)
    trainer = Trainer(config, cache, tmp_path / "first")
    trainer.train()
    (tmp_path / "pieces").mkdir()
    save_pieces(tmp_path / "pieces", trainer.averaged)
    start = beginning(str(tmp_path / "pieces"), config, tmp_path)
    following = Trainer(config, cache, tmp_path / "second", start=start)
    for name, value in trainer.averaged.items():
        assert torch.equal(following.state()[name], value)


@pytest.mark.slow
def test_a_model_of_other_sizes_is_no_start(small_profiles, tmp_path: Path):
    with pytest.raises(ModelError, match=r"base: its dim is \d+; profile 'base' has 8 by now"):
        beginning("base", TrainingConfig.load("base"), tmp_path)


def test_a_second_decoder_is_built_as_its_model_is(small_profiles, tmp_path: Path):
    base = PROFILES["base"]
    for pixel_stem in (False, True):
        state = {
            name: value.clone()
            for name, value in Autoencoder(replace(base, pixel_stem=pixel_stem)).state_dict().items()
        }
        save_state(tmp_path / "start.safetensors", state)
        looks = TrainingConfig(decoder_only=True, perceptual_weight=1.0)
        assert profile_for(looks, tmp_path / "start.safetensors").pixel_stem == pixel_stem
        assert profile_for(replace(looks, perceptual_weight=0.0), tmp_path / "start.safetensors") == base
    assert profile_for(TrainingConfig(), None) == base
