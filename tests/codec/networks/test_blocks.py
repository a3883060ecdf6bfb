import pytest
import torch

from panolink.codec.networks.blocks import PaperResidualBlock, ResidualBlock


def test_a_new_block_adds_a_constant_to_each_channel():
    block, x = ResidualBlock(4, leak=0.1), torch.randn(2, 4, 3, 6)
    torch.testing.assert_close(block(x), x + block.second.bias[:, None, None])  # type: ignore[index]


@pytest.mark.parametrize("block", [ResidualBlock(4, leak=0.1), PaperResidualBlock(4)])
def test_blocks_keep_the_shape_and_have_a_skip(block: torch.nn.Module):
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(2, 4, 3, 6)
    assert torch.equal(block.eval()(x), x)


def test_a_leak_keeps_gradients_below_zero():
    block = ResidualBlock(1, leak=0.1)
    torch.nn.init.ones_(block.second.weight)
    torch.nn.init.constant_(block.first.bias, -100.0)  # type: ignore[arg-type]
    x = torch.randn(1, 1, 4, 8, requires_grad=True)
    (block(x) - x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
