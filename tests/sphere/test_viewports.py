import math

import pytest
import torch

from panolink.sphere.latitude import latitudes
from panolink.sphere.viewports import DIRECTIONS, VIEW_HEIGHT, VIEW_WIDTH, view_coordinates, viewports


def smooth_panorama(height: int = 64, width: int = 128) -> torch.Tensor:
    """The coordinates of the direction of each pixel, in [0, 1]: smooth on the sphere, poles included."""
    lat = latitudes(height).view(-1, 1)
    lon = ((torch.arange(width) + 0.5) / width - 0.5) * 2 * torch.pi
    axes = (lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin().expand(-1, width))
    return (torch.stack(axes).unsqueeze(0) + 1) / 2


def test_shape_and_order():
    views = viewports(torch.rand(2, 3, 32, 64))
    assert views.shape == (2, 14, 3, VIEW_HEIGHT, VIEW_WIDTH) == (2, 14, 3, 171, 256)
    assert len(set(DIRECTIONS)) == 14


def test_every_pixel_sees_its_direction():
    height, width = 256, 512
    views = viewports(smooth_panorama(height, width))[0]
    for view, (yaw, pitch) in zip(views, DIRECTIONS, strict=True):
        lon, lat = view_coordinates(yaw, pitch)
        expected = torch.stack((lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()))
        assert torch.allclose(view * 2 - 1, expected.float(), atol=0.01), (yaw, pitch)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_middle_of_a_view_looks_along_its_direction(direction: tuple[float, float]):
    yaw, pitch = direction
    lon, lat = view_coordinates(yaw, pitch)
    row = (VIEW_HEIGHT - 1) // 2
    # An even width has its middle between two pixels: half a pixel is 0.22°.
    for column in (127, 128):
        assert math.degrees(lat[row, column].item()) == pytest.approx(pitch, abs=0.23)
        if abs(pitch) < 90:
            limit = 0.23 / math.cos(math.radians(pitch))
            assert math.degrees(lon[row, column].item()) == pytest.approx(yaw, abs=limit)


def test_field_of_view_is_ninety_degrees():
    lon, _ = view_coordinates(0, 0)
    edge = math.degrees(lon[85, -1].item())
    assert edge == pytest.approx(math.degrees(math.atan(127.5 / 128)))
    assert torch.allclose(lon, -lon.flip(1))


def test_up_is_up_and_right_is_right():
    lon, lat = view_coordinates(0, 0)
    assert lat[0, 128] > 0 > lat[-1, 128]
    assert lon[85, 0] < 0 < lon[85, -1]


def test_a_quarter_turn_of_the_panorama_moves_the_views_on():
    panorama = torch.rand(1, 3, 64, 128)
    views = viewports(panorama)[0]
    turned = viewports(panorama.roll(128 // 4, dims=3))[0]
    for first in (0, 4, 8):
        for i in range(4):
            assert torch.allclose(turned[first + (i + 1) % 4], views[first + i], atol=1e-3)


def test_constant_stays_constant_and_gradients_flow():
    panorama = torch.full((1, 3, 20, 40), 0.25, requires_grad=True)
    with torch.inference_mode():
        assert torch.allclose(viewports(panorama), torch.tensor(0.25))
    viewports(panorama).mean().backward()
    assert panorama.grad is not None and panorama.grad.min() >= 0
    assert panorama.grad.sum().item() == pytest.approx(1, abs=1e-4)


def test_no_seam_at_the_back():
    panorama = torch.zeros(1, 1, 32, 64)
    panorama[..., 0] = panorama[..., -1] = 1
    back = viewports(panorama)[0, DIRECTIONS.index((180.0, 0.0)), 0]
    assert torch.allclose(back[:, 126:130], torch.tensor(1.0), atol=1e-4)
