import math

import pytest
import torch

from panolink.codec.networks.blocks import PIXEL_STEP
from panolink.training.losses import (
    UNIFORM_LMBDA,
    commitment_loss,
    discriminator_loss,
    generator_loss,
    rate_lmbda,
    relative_loss,
    sphere_distortion,
)


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


def test_structure_keeps_the_size_of_the_distortion():
    pixels = torch.rand(2, 3, 16, 16) * 255
    image = (pixels + 4 * torch.randn(2, 3, 16, 16)).clamp(0, 255)
    latitude = torch.zeros(2, 16)
    plain = sphere_distortion(pixels, image, latitude, kind="mse")
    torch.testing.assert_close(sphere_distortion(pixels, image, latitude, kind="mse", structure=0.5), plain)


def test_structure_moves_the_slope_to_where_contrast_is_low():
    pixels = torch.full((1, 1, 16, 32), 128.0)
    pixels[..., 16:] += 50 * torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(2))

    def share_of_flat(structure: float) -> float:
        image = (pixels + noise).requires_grad_()
        sphere_distortion(pixels, image, torch.zeros(1, 16), kind="mse", structure=structure).sum().backward()
        slope = image.grad.abs().sum(dim=(0, 1, 2))
        return float(slope[:11].sum() / (slope[:11].sum() + slope[21:].sum()))

    assert share_of_flat(0.0) == pytest.approx(0.5, abs=0.05)
    assert share_of_flat(1.0) > 0.9
    assert share_of_flat(0.0) < share_of_flat(0.5) < share_of_flat(1.0)


def test_an_image_without_error_has_no_distortion_and_no_slope():
    image = (torch.rand(1, 3, 12, 12) * 255).requires_grad_()
    found = sphere_distortion(image.detach(), image, torch.zeros(1, 12), kind="mse", structure=0.5)
    found.sum().backward()
    assert found.tolist() == [0]
    assert torch.isfinite(image.grad).all()


def test_commitment_counts_squared_differences_per_pixel_and_channel():
    features, codes = torch.zeros(2, 5, 3, 4), torch.full((2, 5, 3, 4), 0.1)
    expected = 5 * (0.1 * PIXEL_STEP) ** 2 / (3 * 16**2)
    torch.testing.assert_close(commitment_loss(features, codes, factor=16), torch.full((2,), expected))


def test_lmbda_doubles_with_the_squared_step():
    lmbda = rate_lmbda(torch.tensor([0, 2, 4]))
    torch.testing.assert_close(lmbda / lmbda[0], torch.tensor([1.0, 2.0, 4.0]))
    assert float(lmbda[0]) == pytest.approx(UNIFORM_LMBDA * PIXEL_STEP**2 / 3)


def test_an_image_counts_by_its_relative_error():
    distortion = torch.tensor([90.0, 990.0], requires_grad=True)
    loss = relative_loss(distortion, distortion, torch.tensor([1.0, 0.5]))
    loss.backward()
    slopes = torch.tensor([1.0, 0.5]) * torch.tensor([100.0, 1000.0]) ** -0.7 / 2
    torch.testing.assert_close(distortion.grad, slopes)


def test_adversarial_losses_of_logits():
    real, fake = torch.tensor([1.0, -1.0]), torch.tensor([2.0])
    sure, unsure = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert float(discriminator_loss(real, fake)) == pytest.approx((sure + unsure) / 2 + math.log1p(math.exp(2)))
    assert float(generator_loss(fake)) == pytest.approx(math.log1p(math.exp(-2)))
