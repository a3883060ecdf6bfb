"""The paper's PatchGAN discriminator, formula (9)."""

from __future__ import annotations

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """The paper's PatchGAN (9): conv + act, three times conv + batch norm + act, conv.

    Pixels (batch, 3, H, W) in [−1, 1] → logits (batch, 1, rows, cols).
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        for factor, stride in ((1, 2), (2, 2), (4, 1)):
            wide = channels * factor * 2
            layers += [
                nn.Conv2d(channels * factor, wide, 4, stride, 1, bias=False),
                nn.BatchNorm2d(wide),
                nn.LeakyReLU(0.2),
            ]
        self.body = nn.Sequential(*layers, nn.Conv2d(channels * 8, 1, 4, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.body(pixels).float()
