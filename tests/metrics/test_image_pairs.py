import numpy as np
import pytest
import torch

from panolink.errors import ImageError
from panolink.metrics.image_pairs import MAX_PSNR_DB, as_batch, psnr
from panolink.metrics.viewport import vpsnr


def noise_image(seed: int = 0, height: int = 64, width: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 196, (height, width, 3), dtype=np.uint8)


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


def test_decibels_of_squared_errors():
    decibels = psnr(torch.tensor([1.0, 0.01, 1e-4, 0.0]))
    assert decibels.tolist() == pytest.approx([0, 20, 40, MAX_PSNR_DB])


def test_arrays_become_batches_in_zero_to_one():
    image = noise_image()
    first, second = as_batch(torch.from_numpy(image).permute(2, 0, 1) / 255, image)
    assert first.shape == second.shape == (1, 3, 64, 128)
    torch.testing.assert_close(first, second)
    assert as_batch(first.double(), second.double())[0].dtype == torch.float64
