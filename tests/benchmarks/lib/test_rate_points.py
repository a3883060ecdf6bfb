from pathlib import Path

import pytest
import torch

import panolink
from benchmarks.lib.rate_points import model
from panolink.codec.model import save_decoder, save_model


@pytest.mark.slow
def test_figures_of_a_model_are_kept_for_its_encoder_and_decoder(tmp_path: Path):
    """The fingerprint leaves the encoder out, and bits can be chosen better without it changing."""
    codec = panolink.Codec.load("base", device="cpu")
    shipped = model("base", ()).version
    assert codec.fingerprint in shipped and model("base", ()).version == shipped
    assert model("base+slow", ()).version == f"{shipped}-slow"
    with torch.no_grad():
        next(codec.network.encoder.parameters()).mul_(1.01)
    save_model(tmp_path / "base.safetensors", network=codec.network, tables=codec.model.tables, card={})
    trained_on = model(str(tmp_path / "base.safetensors"), ())
    assert codec.fingerprint in trained_on.version and trained_on.version != shipped
    with torch.no_grad():
        next(codec.network.decoder.parameters()).mul_(1.01)
    save_decoder(tmp_path / "other.safetensors", network=codec.network, fingerprint=codec.fingerprint, card={})
    decoded_otherwise = model(f"base:{tmp_path}/other.safetensors", ())
    assert codec.fingerprint in decoded_otherwise.version and decoded_otherwise.version != shipped
    versions = {name: model(f"base:{name}", ()).version for name in ("0", "0.5", "1", "perceptual")}
    assert versions["0"] == shipped and versions["1"] == versions["perceptual"] and len(set(versions.values())) == 3
