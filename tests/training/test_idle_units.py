from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from panolink.codec.model import load_model
from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.codec.networks.blocks import ResidualBlock
from panolink.training.frozen_batch_norm import freeze
from panolink.training.idle_units import ABOVE, PATIENCE, IdleUnits, idle_units
from panolink.training.network_hooks import after, code

SAMPLES = Path(__file__).parent.parent.parent / "samples"


@pytest.fixture
def model(small_profiles) -> Autoencoder:
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"])
    freeze(model)
    return model


@pytest.fixture
def pixels() -> Tensor:
    return 255 * torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0))


def blocks(model: Autoencoder) -> list[ResidualBlock]:
    return [module for module in model.modules() if isinstance(module, ResidualBlock)]


def shift_all(model: Autoencoder, by: float) -> None:
    """Add to what each unit is before its ReLU."""
    for block in blocks(model):
        torch.nn.init.constant_(block.body[1].bias, by)  # type: ignore[arg-type]


def test_units_that_nothing_lifts_above_zero_are_told(model: Autoencoder, pixels: Tensor):
    assert idle_units(model, pixels) < 0.5
    shift_all(model, -1e6)
    assert idle_units(model, pixels) == 1


def test_units_that_are_idle_for_long_are_lifted_to_where_gradients_reach_them(model: Autoencoder, pixels: Tensor):
    first, last = blocks(model)[0].body[1], blocks(model)[-1].body[1]
    assert isinstance(first, torch.nn.BatchNorm2d) and isinstance(last, torch.nn.BatchNorm2d)
    with torch.no_grad():
        first.bias[:2] = last.bias[:2] = -9.0
    model.decoder.requires_grad_(False)
    before, watched = first.bias.detach().clone(), IdleUnits(model)

    def look() -> None:
        with watched.lifted():
            code(model, pixels)

    for _ in range(PATIENCE):
        look()
    assert torch.equal(first.bias, before)
    for _ in range(2 * PATIENCE):
        look()
    assert (first.bias[:2] > before[:2]).all() and torch.equal(first.bias[2:], before[2:])
    assert (last.bias[:2] == -9).all()  # of a network that is not trained
    peaks: list[Tensor] = []
    with after([first], lambda _, __, output: peaks.append(output.amax(dim=(0, 2, 3)))):
        model.encoder(pixels).square().sum().backward()
    assert peaks[0][:2].min() > 0 and peaks[0][:2].max() < 2 * ABOVE
    assert first.bias.grad is not None and first.bias.grad[:2].all()


def test_a_unit_that_some_pictures_need_is_left_alone(model: Autoencoder, pixels: Tensor):
    first = blocks(model)[0].body[1]
    assert isinstance(first, torch.nn.BatchNorm2d)
    watched = IdleUnits(model)
    for number in range(4 * PATIENCE):
        used = number % PATIENCE == 0
        with torch.no_grad():
            first.bias.fill_(0.0 if used else -9.0)
        with watched.lifted():
            code(model, pixels)
        assert first.bias.unique().tolist() == [0.0 if used else -9.0]


GOAL_MISSED = pytest.mark.xfail(strict=True, reason="12 % are idle on this picture; docs/results.md tells more")


@pytest.mark.parametrize("most", [pytest.param(0.1, marks=GOAL_MISSED), 0.15], ids=["the goal", "no worse"])
def test_the_shipped_networks_use_what_they_have(panorama: np.ndarray, most: float):
    pixels = torch.tensor(panorama).permute(2, 0, 1)[None]
    assert idle_units(load_model("base").network.eval(), pixels) < most
