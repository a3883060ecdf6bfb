"""A tiny model with fitted tables: random networks, real codec."""

import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.model import load_model, save_model
from panolink.codec.networks.autoencoder import Autoencoder, Profile
from panolink.codec.networks.blocks import PIXEL_STEP
from panolink.codec.networks.decoder import BaseDecoder
from panolink.codec.networks.encoder import BaseEncoder
from panolink.training.codebook_ema import as_tokens, k_means
from panolink.training.fit_tables import fit_tables

TINY = Profile(
    name="tiny",
    family="base",
    dim=12,
    codes=32,
    encoder_channels=(8, 8, 8),
    encoder_blocks=(0, 0, 1),
    decoder_channels=(8, 8, 8, 8),
    decoder_blocks=(1, 1, 1),
)


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory, panorama: np.ndarray):
    """A weights file of a model that is a block transform and nothing more, with its tables fitted on one panorama."""
    torch.manual_seed(0)
    network = Autoencoder(TINY)
    assert isinstance(network.encoder, BaseEncoder) and isinstance(network.decoder, BaseDecoder)
    pixels = torch.from_numpy(panorama.copy()).permute(2, 0, 1)[None].float()
    be_block_transform(network.encoder, network.decoder, pixels)
    with torch.no_grad():
        network.codebook.copy_(k_means(as_tokens(network.encoder(pixels)), TINY.codes))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, network=network, tables=fit_tables(network, [panorama]), card={})
    return path


@pytest.fixture
def tiny(tiny_path) -> Codec:
    return Codec(load_model(tiny_path), device="cpu")


@torch.no_grad()
def be_block_transform(encoder: BaseEncoder, decoder: BaseDecoder, pixels: torch.Tensor) -> None:
    """Make networks the linear transform of 16×16 blocks to their principal components, and back."""
    blocks = torch.nn.functional.unfold(pixels - 127.5, 16, stride=16).transpose(1, 2).reshape(-1, 768)
    dim = encoder.transform.out_channels
    basis = torch.linalg.eigh(torch.cov(blocks.T).double())[1].flip(1)[:, :dim].T.float()
    mean = blocks.view(-1, 3, 256).mean(dim=(0, 2)).repeat_interleave(256)  # of each colour
    for transform in (encoder.transform, decoder.transform):
        transform.weight.copy_(basis.view(dim, 3, 16, 16))
    encoder.transform.bias.copy_(-(basis @ mean) / PIXEL_STEP)  # type: ignore[union-attr]
    decoder.transform.bias.copy_(mean[::256] / PIXEL_STEP)  # type: ignore[union-attr]
    torch.nn.init.zeros_(encoder.body[-1].weight)  # the batch norm's scales
    torch.nn.init.zeros_(decoder.body[-1].weight)
    torch.nn.init.zeros_(decoder.body[-1].bias)  # type: ignore[arg-type]
