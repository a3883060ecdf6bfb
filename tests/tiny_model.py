"""A tiny model with fitted tables: random networks, real codec."""

import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.model import load_model, save_model
from panolink.codec.networks.autoencoder import Autoencoder, Profile
from panolink.codec.networks.decoder import BaseDecoder, initialize_as_block_transform
from panolink.codec.networks.encoder import BaseEncoder
from panolink.training.codebook_ema import as_tokens, k_means, principal_components
from panolink.training.fit_tables import fit_tables

TINY = Profile(
    name="tiny",
    family="base",
    dim=12,
    codes=32,
    encoder_channels=(8, 8, 8),
    encoder_blocks=(0, 0, 1),
    decoder_channels=(8, 8, 8),
    decoder_blocks=(1, 0, 0),
)


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory, panorama: np.ndarray):
    """A weights file of a model that is a block transform and nothing more, with its tables fitted on one panorama."""
    torch.manual_seed(0)
    network = Autoencoder(TINY)
    assert isinstance(network.encoder, BaseEncoder) and isinstance(network.decoder, BaseDecoder)
    pixels = torch.from_numpy(panorama.copy()).permute(2, 0, 1)[None].float()
    initialize_as_block_transform(network.encoder, network.decoder, *principal_components(pixels, TINY.dim))
    with torch.no_grad():
        network.codebook.copy_(k_means(as_tokens(network.encoder(pixels)), TINY.codes))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, network=network, tables=fit_tables(network, [panorama]), card={})
    return path


@pytest.fixture
def tiny(tiny_path) -> Codec:
    return Codec(load_model(tiny_path), device="cpu")
