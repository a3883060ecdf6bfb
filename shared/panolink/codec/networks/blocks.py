"""Blocks that encoders and decoders share."""

from __future__ import annotations

from torch import Tensor, nn

from panolink.codec.networks.row_bands import RowQueue, RowStep, by_rows
from panolink.sphere.padding import SphereConv2d

PIXEL_STEP = 40.0
"""Pixel units (of 255) per feature unit: an orthonormal transform with step 40 codes a panorama at about 0.2 bpp."""

NETWORK_UNIT = 127.5 / PIXEL_STEP
"""features per unit of what networks compute with, which is pixels in [−1, 1]"""


def pixel_error(factor: int) -> float:
    """Squared error of a picture's values, in squared pixel units of 255, for each unit of squared error of a token's
    feature: an orthonormal transform spreads it over the 3 · factor² values of the token's pixels.

    Parameters
    ----------
    factor : int
        Pixels that a token is wide and high.
    """
    return PIXEL_STEP**2 / (3 * factor**2)


class ResidualBlock(nn.Module):
    """Residual block, as section III-B of the paper has it.

    ::

        x ─┬─ conv 3×3 ─ batch norm ─ ReLU ─ conv 3×3 ─ batch norm ─ + ─
           └─────────────────────────────────────────────────────────┘

    Parameters
    ----------
    channels : int
        Of input and output, (batch, channels, rows, cols).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            SphereConv2d(channels, channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            SphereConv2d(channels, channels, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, rows, cols) → the same shape."""
        return x + self.body(x)

    def by_rows(self) -> RowStep:
        """`forward` in bands of rows, see `panolink.codec.networks.row_bands`."""
        body, ahead = by_rows(self.body), RowQueue()

        def step(x: Tensor, last: bool) -> Tensor | None:
            ahead.put(x)
            change = body(x, last)
            return None if change is None else ahead.take(change.shape[-2]) + change

        return step
