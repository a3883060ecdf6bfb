from dataclasses import replace
from pathlib import Path

import pytest
import torch

from panolink.errors import ModelError
from panolink.training.checkpoint import save_pieces
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.trainer import Trainer
from panolink.training.warm_start import beginning

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
