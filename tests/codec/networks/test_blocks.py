import torch

from panolink.codec.networks.blocks import ResidualBlock


def test_a_block_keeps_the_shape_and_has_a_skip():
    block, x = ResidualBlock(4), torch.randn(2, 4, 3, 6)
    assert block.eval()(x).shape == x.shape and not torch.equal(block(x), x)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    before = x.clone()
    assert torch.equal(block(x), before) and torch.equal(x, before), "what works in place leaves its input alone"
