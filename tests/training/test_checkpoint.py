from pathlib import Path

import pytest
import torch

from panolink.errors import ModelError
from panolink.training.checkpoint import load_pieces, save_pieces


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"a": torch.randn(300, 100), "b": torch.randn(3), "steps": torch.tensor(7), "c": torch.randn(500, 50)}


def test_a_state_comes_back_from_its_pieces(state: dict[str, torch.Tensor], tmp_path: Path):
    files = save_pieces(tmp_path, state, piece_bytes=(1 << 16) + 80_000)
    assert len(files) > 2 and all(file.stat().st_size < (1 << 16) + 80_000 for file in files)
    found = load_pieces(tmp_path)
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(found[name], value)


def test_a_missing_piece_is_told(state: dict[str, torch.Tensor], tmp_path: Path):
    files = save_pieces(tmp_path, state, piece_bytes=(1 << 16) + 80_000)
    files[-1].unlink()
    with pytest.raises(ModelError, match=f"{len(files) - 1} of the {len(files)} pieces"):
        load_pieces(tmp_path)
    with pytest.raises(ModelError, match=r"no state-0\.safetensors"):
        load_pieces(tmp_path / "absent")
