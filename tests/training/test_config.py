from pathlib import Path

import pytest

from panolink.errors import ModelError
from panolink.training.config import TrainingConfig


def test_configuration_errors(tmp_path: Path):
    with pytest.raises(ModelError, match=r"give base, perceptual, paper or a .toml file"):
        TrainingConfig.load("best")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("learnin_rate = 1\n")
    with pytest.raises(ModelError, match="unknown setting 'learnin_rate'; known are adversarial_from"):
        TrainingConfig.load(wrong)
