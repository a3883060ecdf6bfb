import torch

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.codec.networks.blocks import ResidualBlock
from panolink.training.mean_only_batchnorm import centre_units


def test_hidden_units_are_centred_and_stay_where_they_are_outside_training(small_profiles):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"]).train()
    block = next(module for module in model.modules() if isinstance(module, ResidualBlock))
    torch.nn.init.constant_(block.first.bias, -5.0)  # type: ignore[arg-type]
    torch.nn.init.normal_(block.second.weight, std=0.1)
    centre_units(model)
    x = torch.randn(4, block.first.in_channels, 8, 8) + 1
    before = block.eval()(x)
    after = block.train()(x)
    assert (before - after).abs().max() > 0.1  # centred at once
    for _ in range(400):
        block(x)
    torch.testing.assert_close(block.eval()(x), after, atol=1e-2, rtol=1e-2)  # and the bias has come to hold it
    block.requires_grad_(False)
    held = block.first.bias.clone()  # type: ignore[union-attr]
    block.train()(x)
    assert torch.equal(block.first.bias, held)  # type: ignore[arg-type]
