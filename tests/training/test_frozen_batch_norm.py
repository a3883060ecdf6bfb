import torch
from torch import nn

from panolink.training.frozen_batch_norm import calibrate, freeze, keep_in_half_range, pass_through


def test_calibrated_it_normalises_and_frozen_it_stays():
    torch.manual_seed(0)
    norm, x = nn.BatchNorm2d(4), 3 * torch.randn(5, 4, 6, 6) + torch.arange(4.0)[:, None, None]
    calibrate(norm, x)
    network = nn.Sequential(nn.Conv2d(4, 4, 1), norm).train()
    freeze(network)
    before = [norm.running_mean.clone(), norm.running_var.clone()]  # type: ignore[union-attr]
    y = norm(x)
    torch.testing.assert_close(y.mean(dim=(0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var(dim=(0, 2, 3), correction=0), torch.ones(4), rtol=0, atol=1e-4)
    network(x).square().sum().backward()
    assert torch.equal(norm.running_mean, before[0]) and torch.equal(norm.running_var, before[1])  # type: ignore[arg-type]
    assert norm.weight.grad is not None and norm.weight.grad.abs().min() > 0


def test_what_passes_through_is_only_moved():
    torch.manual_seed(0)
    norm, x = nn.BatchNorm2d(3).eval(), 5 * torch.randn(4, 3, 8, 8) - 2
    calibrate(norm, x)
    pass_through(norm, 2, torch.tensor([1.0, 10.0]))
    y = norm(x)
    torch.testing.assert_close(y[:, :2], x[:, :2] + torch.tensor([1.0, 10.0])[:, None, None], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(y[:, 2].mean(), torch.zeros(()), rtol=0, atol=1e-5)


def test_large_variances_give_way_to_scales_that_half_precision_holds():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3).eval()
    norm.running_var.copy_(torch.tensor([0.5, 1e6, 1e12]))  # type: ignore[union-attr]
    network, x = nn.Sequential(norm), 1e4 * torch.randn(2, 3, 4, 4)
    before, small = norm(x), norm.weight[0].item()
    keep_in_half_range(network)
    torch.testing.assert_close(norm(x), before)
    assert norm.weight[0] == small and torch.isfinite(norm.running_var.half()).all()  # type: ignore[union-attr]
    torch.testing.assert_close(network.half().float()(x), before, rtol=2e-3, atol=0.5)
