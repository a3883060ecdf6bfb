import torch
from torch import nn

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.training.compilation import compile_networks
from panolink.training.network_hooks import COARSEST, FINEST, after, code


def test_hooks_are_called_inside_compiled_networks_too_and_then_no_more(small_profiles):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"])

    def broken(*_):
        raise RuntimeError("compiled networks call no hooks")

    compile_networks(model, backend=broken)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    seen: list[nn.Module] = []
    pixels = 255 * torch.rand(2, 3, 32, 32)
    with after(convolutions, lambda module, *_: seen.append(module)):
        code(model, pixels)
    assert set(seen) == set(convolutions)
    seen.clear()
    code(model, pixels)
    assert not seen


def test_pictures_are_decoded_as_of_different_steps_with_two_tokens_in_three_kept(small_profiles):
    model, given = Autoencoder(PROFILES["base"]), list[torch.Tensor]()
    with after([model.decoder.body[0]], lambda _, inputs, __: given.append(inputs[0])):  # type: ignore[index, list-item]
        code(model, torch.zeros(4, 3, 48, 48))
    kept, steps, concealed = given[0][:, -3:].float().unbind(1)
    assert (kept.sum(dim=(1, 2)) == 6).all() and not concealed.any()
    torch.testing.assert_close(steps[:, 0, 1], (FINEST + torch.arange(4) * (COARSEST - FINEST) / 4) / 8)
    assert torch.equal(steps != 0, (kept > 0) & (steps[:, :1, 1:2] != 0))
