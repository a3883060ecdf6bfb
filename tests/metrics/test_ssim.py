import numpy as np
import pytest
import torch

from panolink.metrics.ssim import ssim, ssim_map


def reference_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Pixel by pixel, as the formula is written: two planes in [0, 1], zeros outside."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    px, py = np.pad(x, 5), np.pad(y, 5)
    values = np.empty_like(x)
    for i, j in np.ndindex(x.shape):
        wx, wy = px[i : i + 11, j : j + 11], py[i : i + 11, j : j + 11]
        mx, my = (window * wx).sum(), (window * wy).sum()
        vx, vy = (window * wx**2).sum() - mx**2, (window * wy**2).sum() - my**2
        cov = (window * wx * wy).sum() - mx * my
        values[i, j] = ((2 * mx * my + 1e-4) * (2 * cov + 9e-4)) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    return float(values.mean())


def test_ssim_follows_the_formula():
    rng = np.random.default_rng(1)
    x = rng.random((2, 3, 17, 23))
    y = np.clip(x + rng.normal(0, 0.1, x.shape), 0, 1)
    expected = [np.mean([reference_ssim(x[b, c], y[b, c]) for c in range(3)]) for b in range(2)]
    assert ssim(torch.from_numpy(x), torch.from_numpy(y)).tolist() == pytest.approx(expected, rel=1e-9)


def test_gradients_are_those_of_the_formula_at_borders_too():
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(1, 2, 7, 13, generator=generator, dtype=torch.float64)
    y = (x + 0.1 * torch.randn(x.shape, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda image: ssim_map(x, image), y)
    assert torch.autograd.gradcheck(lambda image: ssim_map(image, x), y)
