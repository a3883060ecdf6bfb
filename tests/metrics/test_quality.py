import math

import numpy as np
import pytest
import torch

from panolink.errors import ImageError
from panolink.metrics.ssim import ssim
from panolink.metrics.viewport import viewport_scores, vpsnr, vssim
from panolink.metrics.ws_psnr import ws_psnr


def noise_image(seed: int = 0, height: int = 64, width: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 196, (height, width, 3), dtype=np.uint8)


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


def test_identical_images_are_perfect():
    image = noise_image()
    scores = viewport_scores(image, image)
    assert scores.vpsnr_db == pytest.approx(100)
    assert scores.vssim == pytest.approx(1)
    assert ws_psnr(image, image) == pytest.approx(100)


@pytest.mark.parametrize("offset", [1, 10, 50])
def test_uniform_error_gives_plain_psnr(offset: int):
    image = noise_image()
    expected = 20 * math.log10(255 / offset)
    assert vpsnr(image, image + np.uint8(offset)) == pytest.approx(expected, abs=1e-3)
    assert ws_psnr(image, image + np.uint8(offset)) == pytest.approx(expected, abs=1e-3)


def test_known_noise():
    clean = torch.full((1, 3, 512, 1024), 0.5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    assert ws_psnr(clean, noisy) == pytest.approx(20, abs=0.02)
    # Bilinear sampling averages up to four pixels of noise: 0 dB to 6 dB above what is in the panorama.
    assert 20 < vpsnr(clean, noisy) < 26


def test_more_noise_is_worse():
    image = noise_image()
    noise = np.random.default_rng(2).normal(0, 1, image.shape)
    noisy = [np.clip(image + sigma * noise, 0, 255).astype(np.uint8) for sigma in (5, 15, 45)]
    scores = [viewport_scores(image, other) for other in noisy]
    assert [s.vpsnr_db for s in scores] == sorted((s.vpsnr_db for s in scores), reverse=True)
    assert [s.vssim for s in scores] == sorted((s.vssim for s in scores), reverse=True)


def test_errors_at_the_poles_weigh_less():
    clean = noise_image()
    pole, equator = clean.copy(), clean.copy()
    pole[:4] += 30
    equator[30:34] += 30
    assert ws_psnr(clean, pole) > ws_psnr(clean, equator) + 6


def test_arrays_and_tensors_agree_and_batches_average():
    a, b = noise_image(0), noise_image(1)
    as_tensor = [torch.from_numpy(x).permute(2, 0, 1) / 255 for x in (a, b)]
    assert vpsnr(*as_tensor) == pytest.approx(vpsnr(a, b), abs=1e-4)
    batch = torch.stack(as_tensor), torch.stack((as_tensor[0], as_tensor[0]))
    assert vssim(*batch) == pytest.approx((1 + vssim(a, b)) / 2, abs=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        np.zeros((64, 126, 3), np.uint8),
        np.zeros((64, 128), np.uint8),
        np.zeros((64, 128, 3)),
        torch.zeros(3, 64, 128).byte(),
    ],
)
def test_pictures_that_do_not_fit_are_refused(other: np.ndarray | torch.Tensor):
    with pytest.raises(ImageError):
        vpsnr(noise_image(), other)
