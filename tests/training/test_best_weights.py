from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.errors import ModelError
from panolink.training.best_weights import BestWeights, judged_by
from panolink.training.config import TrainingConfig


def test_the_file_says_what_was_saved(tmp_path: Path):
    assert BestWeights.of(tmp_path) == BestWeights()
    best = BestWeights(score=25.5, judged_by="a", step=7, minutes=1.5, validation={"x": 0.1}, config={"seed": 3})
    best.save(tmp_path, {"w": torch.zeros(2)})
    assert BestWeights.of(tmp_path) == best
    (tmp_path / "best.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match=r"best\.safetensors: not a readable weights file"):
        BestWeights.of(tmp_path)


def test_what_scores_depend_on():
    panoramas = [np.zeros((2, 4, 3), np.uint8), np.ones((2, 4, 3), np.uint8)]
    config = TrainingConfig()
    said = judged_by(config, panoramas)
    assert said == judged_by(TrainingConfig(rate=0.3), panoramas), "not on how the weights came about"
    assert said != judged_by(TrainingConfig(structure=0.5), panoramas)
    assert said != judged_by(config, panoramas[::-1]) and said != judged_by(config, panoramas[:1])
