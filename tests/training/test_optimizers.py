from dataclasses import replace

import pytest
import torch

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.training.config import TrainingConfig
from panolink.training.context_rate import ContextRate
from panolink.training.optimizers import CONTEXT_RATE, optimizers_of, set_rates


def test_each_weight_has_one_optimiser(small_profiles):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"])
    context = ContextRate(model.codebook)
    optimizers = optimizers_of(TrainingConfig.load("base"), model, context)
    moved = [id(p) for optimizer in optimizers.values() for group in optimizer.param_groups for p in group["params"]]
    assert sorted(moved) == sorted(id(p) for p in [*model.parameters(), *context.parameters()])


def test_rates_are_shares_of_the_configured_ones(small_profiles):
    model = Autoencoder(PROFILES["base"])
    config = replace(TrainingConfig(), learning_rate=3e-4, kernel_learning_rate=1e-3)
    optimizers = optimizers_of(config, model, ContextRate(model.codebook))
    for share in (0.5, 1.0, 0.0):
        set_rates(optimizers, share)
        rates = [optimizers[name].param_groups[0]["lr"] for name in ("adam", "muon", "context")]
        assert rates == pytest.approx([share * 3e-4, share * 1e-3, share * CONTEXT_RATE])
