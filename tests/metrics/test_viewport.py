import math

import numpy as np
import pytest
import torch

from panolink.metrics.viewport import viewport_scores, vpsnr, vssim
from panolink.metrics.ws_psnr import ws_psnr


def noise_image(seed: int = 0, height: int = 64, width: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 196, (height, width, 3), dtype=np.uint8)


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


@pytest.mark.slow
def test_more_noise_is_worse():
    image = noise_image()
    noise = np.random.default_rng(2).normal(0, 1, image.shape)
    noisy = [np.clip(image + sigma * noise, 0, 255).astype(np.uint8) for sigma in (5, 15, 45)]
    scores = [viewport_scores(image, other) for other in noisy]
    assert [s.vpsnr_db for s in scores] == sorted((s.vpsnr_db for s in scores), reverse=True)
    assert [s.vssim for s in scores] == sorted((s.vssim for s in scores), reverse=True)


@pytest.mark.slow
def test_arrays_and_tensors_agree_and_batches_average():
    a, b = noise_image(0), noise_image(1)
    as_tensor = [torch.from_numpy(x).permute(2, 0, 1) / 255 for x in (a, b)]
    assert vpsnr(*as_tensor) == pytest.approx(vpsnr(a, b), abs=1e-4)
    batch = torch.stack(as_tensor), torch.stack((as_tensor[0], as_tensor[0]))
    assert vssim(*batch) == pytest.approx((1 + vssim(a, b)) / 2, abs=1e-4)
