import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from panolink.codec.weights_files import write_weights


def test_others_may_read_what_new_files_may_be_read_by(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            write_weights(path, {"w": torch.ones(3)}, {"format": "x"})
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == mode
    assert load_file(path)["w"].tolist() == [1, 1, 1]


def test_what_cannot_be_written_leaves_the_last_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.safetensors"
    write_weights(path, {"w": torch.ones(3)})

    def full(tensors, partial: Path, metadata) -> None:
        partial.write_bytes(b"some of it")
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("panolink.codec.weights_files.save_file", full)
    with pytest.raises(OSError, match=r"a\.safetensors: cannot be written \(I/O error: No space left on device\)"):
        write_weights(path, {"w": torch.zeros(3)})
    assert os.listdir(tmp_path) == ["a.safetensors"] and load_file(path)["w"].tolist() == [1, 1, 1]
