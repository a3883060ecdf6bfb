"""Viewports: 14 perspective views of an equirectangular panorama, as a viewer sees it.

The protocol of Li et al. 2022 (LIC360): yaw {−90, 0, 90, 180}° × pitch {0, +45, −45}°, and both poles;
gnomonic projection, 90° wide, 256×171 px, bilinear.

Axes: longitude grows to the right, latitude upwards, both 0 in the middle of the panorama. Pixel centres lie
at integers, so the middle of n pixels is (n − 1)/2, in a view as in the panorama.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

VIEW_WIDTH = 256
VIEW_HEIGHT = 171
FOCAL_LENGTH = 128.0
"""Pixels, both ways: (256/2) / tan(90°/2)."""

DIRECTIONS: tuple[tuple[float, float], ...] = (
    *((yaw, pitch) for pitch in (0.0, 45.0, -45.0) for yaw in (-90.0, 0.0, 90.0, 180.0)),
    (0.0, 90.0),
    (0.0, -90.0),
)
"""(yaw, pitch) of each view in degrees, in the order in which `viewports` returns them."""


def viewports(images: Tensor) -> Tensor:
    """Project panoramas onto the 14 views. Differentiable; wraps horizontally, clamps at the poles.

    Parameters
    ----------
    images : (batch, channels, height, width), floating point
        Values pass through linearly, so the range ([0, 1] for the metrics) is kept. Half precision is computed and
        returned as float32.

    Returns
    -------
    (batch, 14, channels, 171, 256)
        On the device of ``images``, in the order of `DIRECTIONS`.
    """
    if images.dtype != torch.float64:
        images = images.float()
    batch, _, height, width = images.shape
    grid = _sampling_grid(height, width, images.device).to(images.dtype)
    wrapped = F.pad(images, (1, 1, 0, 0), mode="circular")
    views = F.grid_sample(
        wrapped, grid.expand(batch, -1, -1, -1), mode="bilinear", padding_mode="border", align_corners=True
    )
    return views.unflatten(2, (len(DIRECTIONS), VIEW_HEIGHT)).movedim(1, 2)


def view_coordinates(yaw: float, pitch: float) -> tuple[Tensor, Tensor]:
    """Longitude and latitude that each pixel of one view looks at (inverse gnomonic projection).

    Parameters
    ----------
    yaw, pitch : float
        Of the view's centre, degrees.

    Returns
    -------
    longitude, latitude : float64 (171, 256)
        Radians. Longitude is not wrapped: it lies within ±180° of ``yaw``.
    """
    right = (torch.arange(VIEW_WIDTH, dtype=torch.float64) - (VIEW_WIDTH - 1) / 2) / FOCAL_LENGTH
    up = ((VIEW_HEIGHT - 1) / 2 - torch.arange(VIEW_HEIGHT, dtype=torch.float64)) / FOCAL_LENGTH
    up, right = torch.meshgrid(up, right, indexing="ij")
    yaw_angle, pitch_angle = torch.deg2rad(torch.tensor((yaw, pitch), dtype=torch.float64))
    ahead = torch.cos(pitch_angle) - up * torch.sin(pitch_angle)
    up = torch.sin(pitch_angle) + up * torch.cos(pitch_angle)
    return torch.atan2(right, ahead) + yaw_angle, torch.atan2(up, torch.hypot(right, ahead))


@lru_cache(maxsize=16)
def _sampling_grid(height: int, width: int, device: torch.device) -> Tensor:
    """Coordinates on the panorama with one wrapped column on each side: `(1, 14·171, 256, 2)` in [−1, 1]."""
    # Kept for later calls, which may need gradients: an inference tensor could not serve those.
    with torch.inference_mode(False):
        coordinates = [view_coordinates(yaw, pitch) for yaw, pitch in DIRECTIONS]
        longitude = torch.cat([lon for lon, _ in coordinates])
        latitude = torch.cat([lat for _, lat in coordinates])
        column = (longitude / (2 * torch.pi) + 0.5).remainder(1.0) * width - 0.5
        row = (0.5 - latitude / torch.pi) * height - 0.5
        x = 2 * (column + 1) / (width + 1) - 1
        y = 2 * row / max(height - 1, 1) - 1
        return torch.stack((x, y), dim=-1).unsqueeze(0).to(device, torch.float32)
