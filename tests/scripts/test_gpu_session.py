import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from panolink.codec.networks.autoencoder import PROFILES
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.trainer import Trainer
from scripts import gpu_session

ROOT = Path(__file__).parent.parent.parent

WITHOUT = """
import sys
ABSENT = {"grpc_health", "pydantic", "pydantic_settings", "constriction", "av", "cryptography", "docker"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""

GOLDEN = """
import pytest
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "--collect-only", "tests/codec/test_golden.py"]))
"""

SESSION = """
import runpy
runpy.run_path("scripts/gpu_session.py", run_name="session")
if {speed}:
    import benchmarks.codec.codec_speed
"""


def without(program: str, *absent: str) -> None:
    """Run a program where there is only what the codec needs, less ``absent``."""
    more = f"ABSENT |= {set(absent)}\n" if absent else ""
    command = [sys.executable, "-c", WITHOUT + more + program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_golden_files_can_be_checked_where_there_is_only_what_the_codec_needs():
    """A GPU machine that is lent has PyTorch, and not what services need."""
    without(GOLDEN)


@pytest.mark.slow
def test_a_session_needs_what_it_says():
    """Typer for its part `speed` alone."""
    without(SESSION.format(speed=False), "typer", "pytest")
    without(SESSION.format(speed=True), "pytest")


def test_a_decoder_is_trained_for_a_model():
    arguments = Namespace(config="decoder", start="", batch=4, rate=1.0, warm_up=10, validation_images=1)
    with pytest.raises(SystemExit, match="'decoder' trains a decoder for a finished model: give --start"):
        gpu_session.session_config(arguments)
    arguments.start = "base"
    assert gpu_session.session_config(arguments).decoder_only


def test_calibration_leaves_the_warm_up_to_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(gpu_session, "CALIBRATION_STEPS", 2)
    sizes = {"encoder_channels": (8, 8, 8), "encoder_blocks": (0, 0, 1)}
    sizes |= {"decoder_channels": (8, 8, 8, 8), "decoder_blocks": (1, 1, 1)}
    monkeypatch.setitem(PROFILES, "base", replace(PROFILES["base"], dim=8, codes=16, **sizes))
    cache = PanoramaCache(ROOT / "samples", tmp_path / "cache", max_width=256)
    trainer = Trainer(TrainingConfig(batch=2, crop=64, validation_images=1), cache, tmp_path)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    counts = trainer.averager.count.clone()
    gpu_session.calibrate(trainer, seconds=60.0)
    assert trainer.step == 0 and not torch.equal(trainer.averager.count, counts)
    for name, value in trainer.model.named_parameters():
        assert torch.equal(value, before[name]) or not value.requires_grad, name


def test_steps_since_the_last_record_are_no_validation(tmp_path: Path):
    trainer = SimpleNamespace(averaged={"a": torch.zeros(2)})
    began = time.monotonic() - 100.0
    written = gpu_session.Written(trainer, tmp_path, began, 1e6)
    written.on_record({"step": 50, "minutes": 20 / 60})
    written.on_record({"step": 93, "minutes": 90 / 60, "validation": {}})
    assert 9.9 < written.validating_seconds < 60.0
