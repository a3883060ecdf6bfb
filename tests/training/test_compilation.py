import copy
from functools import partial

import pytest
import torch

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.sphere.padding import set_wrap
from panolink.training.compilation import compile_networks, compiled_losses, warm_up
from panolink.training.discriminator import PatchDiscriminator
from panolink.training.frozen_batch_norm import freeze
from panolink.training.losses import sphere_distortion


@pytest.mark.slow
def test_compiled_networks_learn_what_plain_ones_learn(small_profiles):
    """`aot_eager` traces networks and their gradients as compilers do, and needs none to run them."""
    torch.manual_seed(0)
    plain = Autoencoder(PROFILES["base"])
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    compiled = copy.deepcopy(plain)
    compile_networks(compiled, None, backend="aot_eager")
    pixels, guidance = 255 * torch.rand(2, 3, 32, 32), torch.zeros(2, 3, 2, 2)
    for model in (plain, compiled):
        set_wrap(model, False)
        freeze(model)
        for _ in range(2):
            model.zero_grad()
            model.decoder(model.encoder(pixels), guidance).sub(pixels).square().mean().backward()
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)


def test_where_compiling_fails_every_network_runs_as_it_is(small_profiles, capsys: pytest.CaptureFixture[str]):
    def broken(*_):
        raise RuntimeError("no compiler")

    model, discriminator = Autoencoder(PROFILES["base"]), PatchDiscriminator()
    compile_networks(model, discriminator, None, backend=broken)
    set_wrap(model, False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert not warm_up(model, discriminator, None, batch=1, crop=32)
    assert "networks run uncompiled" in capsys.readouterr().err
    assert warm_up(model, discriminator, None, batch=1, crop=32), "without the compiler"
    assert torch.isfinite(discriminator(torch.zeros(1, 3, 64, 64))).all()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


DISTORTION = partial(sphere_distortion, kind="mse", structure=0.3)


def test_compiled_losses_have_the_values_and_gradients_of_plain_ones():
    torch.manual_seed(0)
    plain, compiled = (torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3)) for _ in range(2))
    compiled.load_state_dict(plain.state_dict())

    class Difference(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            return (self.network(one) - self.network(other)).square().mean(dim=(1, 2, 3))

    differences = Difference(plain), Difference(compiled)
    distortion = compiled_losses(DISTORTION, differences[1], batch=2, crop=16, backend="aot_eager")
    assert distortion is not DISTORTION
    assert differences[1]._compiled_call_impl is not None
    pixels, latitude = 255 * torch.rand(2, 3, 16, 16), torch.rand(2, 16)
    results = []
    for one, perceive in zip((DISTORTION, distortion), differences, strict=True):
        image = (255 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))).requires_grad_()
        (one(pixels, image, latitude) + perceive(pixels / 255, image / 255)).mean().backward()
        results.append(image.grad)
    torch.testing.assert_close(results[0], results[1])


def test_where_compiling_fails_losses_run_as_they_are(capsys: pytest.CaptureFixture[str]):
    def broken(*_):
        raise RuntimeError("no compiler")

    perceive = torch.nn.Bilinear(16, 16, 1)
    assert compiled_losses(DISTORTION, perceive, batch=1, crop=16, backend=broken) is DISTORTION
    assert "losses run uncompiled" in capsys.readouterr().err
    assert perceive(torch.zeros(1, 16), torch.zeros(1, 16)).shape == (1, 1), "without the compiler"
