import math

import pytest
import torch

from panolink.training.losses import sphere_distortion


def test_the_mse_of_an_even_error_is_its_square_times_the_mean_of_cos_latitude():
    pixels = torch.rand(2, 3, 4, 5) * 255
    latitude = torch.tensor([[0.0, 0.0, 0.0, 0.0], [math.pi / 3] * 4])
    found = sphere_distortion(pixels, pixels + 6, latitude, kind="mse")
    torch.testing.assert_close(found, torch.tensor([36.0, 18.0]))


@pytest.mark.parametrize("kind", ["mse", "l1"])
def test_an_error_at_the_pole_counts_less(kind: str):
    pixels = torch.zeros(1, 3, 3, 8)
    latitude = torch.tensor([[1.4, 0.0, -1.4]])
    pole, equator = pixels.clone(), pixels.clone()
    pole[:, :, 0], equator[:, :, 1] = 5, 5
    ratio = sphere_distortion(pixels, pole, latitude, kind=kind) / sphere_distortion(
        pixels, equator, latitude, kind=kind
    )
    assert float(ratio) == pytest.approx(math.cos(1.4), rel=1e-4)


def test_both_kinds_pull_alike_at_an_error_of_eight():
    slopes = []
    for kind in ("mse", "l1"):
        image = torch.full((1, 1, 1, 1), 8.0, requires_grad=True)
        sphere_distortion(torch.zeros(1, 1, 1, 1), image, torch.zeros(1, 1), kind=kind).sum().backward()
        slopes.append(float(image.grad))
    assert slopes == [16, 16]
