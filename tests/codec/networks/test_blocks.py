import numpy as np
import pytest
import torch

from panolink.codec.networks.blocks import PIXEL_STEP, ResidualBlock, pixel_error


def test_a_block_keeps_the_shape_and_has_a_skip():
    block, x = ResidualBlock(4), torch.randn(2, 4, 3, 6)
    assert block.eval()(x).shape == x.shape and not torch.equal(block(x), x)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    before = x.clone()
    assert torch.equal(block(x), before) and torch.equal(x, before), "what works in place leaves its input alone"


def test_an_error_of_features_is_one_of_pixels():
    """Through an orthonormal transform of a token's 3 · 4² values."""
    random = np.random.default_rng(0)
    transform, _ = np.linalg.qr(random.normal(size=(48, 48)))
    error = random.normal(size=48)
    assert pixel_error(4) * np.sum(error**2) == pytest.approx(np.mean((PIXEL_STEP * transform @ error) ** 2))
