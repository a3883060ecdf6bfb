from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.model import load_model
from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.codec.networks.blocks import ResidualBlock
from panolink.training.data import PanoramaCache
from panolink.training.validation import idle_units

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def test_units_that_nothing_lifts_above_zero_are_told(cache: PanoramaCache, small_profiles):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"])
    assert idle_units(model, cache.panorama(0), device=torch.device("cpu")) < 0.5
    blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    for block in blocks:
        torch.nn.init.constant_(block.body[1].bias, -1e6)  # type: ignore[arg-type]
    assert idle_units(model, cache.panorama(0), device=torch.device("cpu")) == 1


GOAL_MISSED = pytest.mark.xfail(strict=True, reason="a fifth is idle; docs/results.md tells more")


@pytest.mark.parametrize("most", [pytest.param(0.1, marks=GOAL_MISSED), 0.25], ids=["the goal", "no worse"])
def test_the_shipped_networks_use_what_they_have(panorama: np.ndarray, most: float):
    assert idle_units(load_model("base").network.eval(), panorama, device=torch.device("cpu")) < most
