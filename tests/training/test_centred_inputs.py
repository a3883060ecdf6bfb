import pytest
import torch
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.codec.networks.blocks import ResidualBlock
from panolink.codec.networks.decoder import guidance_planes
from panolink.sphere.padding import set_wrap
from panolink.training.centred_inputs import CentredInputs
from panolink.training.frozen_batch_norm import freeze
from panolink.training.muon import ConvolutionMuon, convolution_kernels
from panolink.training.network_hooks import after, code


@pytest.fixture
def model(small_profiles) -> Autoencoder:
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"])
    freeze(model)
    set_wrap(model, False)
    return model


@pytest.fixture
def pixels() -> Tensor:
    return 255 * torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0))


def loss(model: Autoencoder, pixels: Tensor) -> Tensor:
    features = model.encoder(pixels)
    kept, steps = torch.ones_like(features[:, 0]), torch.tensor([0.0, 6.0])[:, None, None]
    return (model.decoder(features, guidance_planes(kept, steps * kept, 0 * kept)) - pixels).square().mean() / 1e4


def test_what_each_kernel_sees_is_watched(model: Autoencoder, pixels: Tensor):
    centred = CentredInputs(model)
    seen: dict[nn.Module, Tensor] = {}
    kernels = {id(kernel) for kernel in convolution_kernels(model, inner_only=False)}
    watched = [module for module in model.modules() if isinstance(module, nn.Conv2d) and id(module.weight) in kernels]
    with after(watched, lambda module, inputs, _: seen.update({module: inputs[0].float().mean(dim=(0, 2, 3))})):
        centred.look(model, pixels)
    means = [value for name, value in centred.state_dict().items() if name.startswith("mean")]
    assert len(means) == len(watched) == len(seen) > 8
    for module in watched:
        assert any(mean.shape == seen[module].shape and torch.equal(mean, seen[module]) for mean in means)
    first = [mean.clone() for mean in means]
    centred.look(model, pixels * 0.5)
    assert not all(torch.equal(mean, was) for mean, was in zip(means, first, strict=True))


def test_gradients_are_those_of_inputs_without_their_mean():
    """By W at a given b + W·m."""
    torch.manual_seed(0)
    block = ResidualBlock(4).eval()
    for norm in (block.body[1], block.body[4]):
        nn.init.uniform_(norm.weight, 0.5, 2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Sequential(block), nn.Sequential()

    centred = CentredInputs(Holder())  # type: ignore[arg-type]
    x = torch.randn(8, 4, 32, 32) + torch.tensor([5.0, -3.0, 0.0, 9.0])[:, None, None]
    mean = x.mean(dim=(0, 2, 3))
    centred.mean0.copy_(mean)  # type: ignore[operator]
    target = torch.randn_like(x)
    (block(x) * target).sum().backward()
    centred.centre_gradients()
    kernel = block.body[0].weight
    assert isinstance(kernel, Tensor) and kernel.grad is not None
    found = kernel.grad.clone()

    block.zero_grad()
    shift = (kernel.sum(dim=(2, 3)) @ mean).detach()
    block.body[1].running_mean -= shift  # type: ignore[operator]
    (block.body(x - mean[:, None, None]) * target).sum().backward()
    torch.testing.assert_close(found, kernel.grad, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("inner", [True, False], ids=["a residual block's kernel", "the decoder's first"])
def test_steps_leave_the_means_of_outputs_where_they_were(model: Autoencoder, pixels: Tensor, inner: bool):
    centred = CentredInputs(model)
    centred.look(model, pixels)
    block = next(module for module in model.modules() if isinstance(module, ResidualBlock))
    layer = nn.Sequential(*block.body[:2]) if inner else model.decoder.body[0]  # type: ignore[index]
    kernel = block.body[0].weight if inner else layer.weight
    assert isinstance(kernel, nn.Parameter)
    muon = ConvolutionMuon(convolution_kernels(model, inner_only=True), lr=0.05, weight_decay=0.1)
    optimizer = muon if inner else torch.optim.Adam([kernel], lr=0.05)
    inputs: list[Tensor] = []
    with after([block if inner else layer], lambda _, given, __: inputs.append(given[0].float())):
        code(model, pixels)  # what the means are of
    seen = inputs[0]
    loss(model, pixels).backward()
    before = layer(seen).mean(dim=(0, 2, 3))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    shifted = []
    for kept in (False, True):
        model.load_state_dict(state)
        centred.centre_gradients()
        if kept:
            with centred.no_shift():
                optimizer.step()
        else:
            optimizer.step()
        now = layer(seen).mean(dim=(0, 2, 3))
        shifted.append((now - before).detach().abs().max())
    assert shifted[1] < 0.1 * shifted[0]
