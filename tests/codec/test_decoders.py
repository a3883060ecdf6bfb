"""Second decoders of a model: same bitstream, other pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.model import load_decoder, load_model, save_decoder, shipped_models
from panolink.errors import ModelError


@pytest.fixture
def darker(tiny_path: Path, tmp_path: Path) -> Path:
    """A file of a decoder of the tiny model, whose pictures are a little darker."""
    model = load_model(tiny_path)
    with torch.no_grad():
        model.network.decoder.transform.bias -= 0.2  # type: ignore[union-attr, operator]
    save_decoder(tmp_path / "darker.safetensors", network=model.network, fingerprint=model.fingerprint, card={})
    return tmp_path / "darker.safetensors"


def test_another_decoder_reads_the_same_packets(tiny: Codec, tiny_path: Path, darker: Path, panorama: np.ndarray):
    other = Codec.load(tiny_path, decoder=darker, device="cpu")
    packet = tiny.encode(panorama, tau=0.5)
    assert other.fingerprint == tiny.fingerprint
    assert other.encode(panorama, tau=0.5).to_bytes() == packet.to_bytes()
    first, second = tiny.decode(packet), other.decode(packet)
    assert 4 < float(np.mean(first.astype(int) - second)) < 10


def test_a_decoder_belongs_to_its_model(darker: Path):
    with pytest.raises(ModelError, match="not for 'base'"):
        load_decoder(load_model("base"), darker)


def test_what_is_no_decoder(tiny_path: Path, tmp_path: Path):
    model = load_model(tiny_path)
    with pytest.raises(ModelError, match="not a decoder of format"):
        load_decoder(model, tiny_path)
    with pytest.raises(ModelError, match="has no perceptual decoder"):
        load_decoder(model, "perceptual")
    with pytest.raises(ModelError, match="not a readable file"):
        load_decoder(model, tmp_path / "absent.safetensors")


def test_decoders_are_no_models():
    assert not [name for name in shipped_models() if name.endswith("-p")]


def test_the_shipped_perceptual_decoder(panorama: np.ndarray):
    fidelity, perceptual = (Codec.load("base", decoder=kind, device="cpu") for kind in ("fidelity", "perceptual"))
    packet = fidelity.encode(panorama, bpp=0.2)
    first, second = fidelity.decode(packet), perceptual.decode(packet)
    assert 0.5 < np.abs(first.astype(int) - second).mean() < 8
