import torch
from torch import nn

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.training.compilation import compile_networks
from panolink.training.network_hooks import COARSEST, after, code


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


def test_pictures_are_decoded_as_of_different_steps(small_profiles):
    model, given = Autoencoder(PROFILES["base"]), list[torch.Tensor]()
    with after([model.decoder.body[0]], lambda _, inputs, __: given.append(inputs[0])):  # type: ignore[index, list-item]
        code(model, torch.zeros(4, 3, 16, 16))
    kept, steps, concealed = given[0][:, -3:, 0, 0].float().T
    assert (kept == 1).all() and (concealed == 0).all()
    torch.testing.assert_close(steps, torch.arange(4) * COARSEST / 4 / 8)
