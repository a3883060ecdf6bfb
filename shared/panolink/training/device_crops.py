"""Crops made where the networks train: all panoramas lie decoded in a GPU's memory, nothing waits for a loader.

    DevicePanoramas   each panorama at scales 1, 0.71, 0.5 …, in one flat array
    DeviceCrops       endless batches, as `CropStream` gives them, plus small turns about a horizontal axis

A crop is sampled from the next finer scale with a Catmull–Rom kernel, so that at most 0.71 is left to shrink. At 1 : 1
and without a turn about a horizontal axis its pixels are the panorama's own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from panolink.training.data import PanoramaCache

PITCH = math.radians(10)
"""largest turn about a horizontal axis"""

CHUNK = 64
"""crops sampled at once: bounds the memory for coordinates (0.1 GB at 256×256)"""

Sampler = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class DevicePanoramas:
    """Panoramas and their reductions by half octaves, on a device.

    ``pixels`` (n,) int32: red, green and blue in the low three bytes; ``start``, ``width``, ``height``
    (panoramas, scales) int64: where each begins in ``pixels`` and its size.
    """

    def __init__(
        self, cache: PanoramaCache, indices: Sequence[int], *, least_scale: float, device: torch.device
    ) -> None:
        self.scales = 1 + max(0, math.floor(-2 * math.log2(least_scale) + 1e-6))
        pieces, starts, sizes, start = [], [], [], 0
        for index in indices:
            whole = torch.tensor(cache.panorama(index)).to(device).permute(2, 0, 1)[None]
            for number in range(self.scales):
                scaled = whole if number == 0 else _reduced(whole, 2 ** (-number / 2))
                red, green, blue = scaled[0].to(torch.int32).unbind(0)
                pieces.append((red | green << 8 | blue << 16).flatten())
                starts.append(start)
                sizes.append(scaled.shape[2:])
                start += pieces[-1].numel()
        self.pixels = torch.cat(pieces)
        shape = (len(indices), self.scales)
        self.start = torch.tensor(starts, device=device).view(shape)
        self.height, self.width = (torch.tensor(sides, device=device).view(shape) for sides in zip(*sizes, strict=True))
        area = (self.height[:, 0] * self.width[:, 0]).double()
        self.cumulative = (area.cumsum(0) / area.sum()).float()


def _reduced(image: Tensor, scale: float) -> Tensor:
    """A panorama (1, 3, H, W) uint8 at another scale, antialiased."""
    size = [max(2, round(side * scale)) for side in image.shape[2:]]
    small = F.interpolate(image.float(), size=size, mode="bicubic", antialias=True)
    return small.round_().clamp_(0, 255).byte()


def sample(pixels: Tensor, start: Tensor, width: Tensor, height: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Catmull–Rom samples of panoramas that lie in a flat array.

    Parameters
    ----------
    pixels : (n,) int32
        All panoramas, three bytes a pixel.
    start, width, height : (batch, 1, 1) int64
        Where a crop's panorama begins, and its size.
    column, row : (batch, rows, cols) float32
        Where to sample, pixel centres at integers; columns wrap, rows stop at the poles.

    Returns
    -------
    (batch, rows, cols, 3) uint8
    """
    left, top = column.floor(), row.floor()
    across, down = _weights(column - left), _weights(row - top)
    left, top = left.long(), top.long()
    red, green, blue = (torch.zeros_like(column) for _ in range(3))
    for i in range(4):
        line = start + (top + (i - 1)).clamp(min=0).minimum(height - 1) * width
        for j in range(4):
            packed = pixels[line + (left + (j - 1)) % width]
            weight = down[i] * across[j]
            red = red + weight * (packed & 255)
            green = green + weight * (packed >> 8 & 255)
            blue = blue + weight * (packed >> 16 & 255)
    return torch.stack([red, green, blue], dim=-1).round().clamp(0, 255).to(torch.uint8)


def _weights(offset: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Catmull–Rom weights of the four neighbours at −1, 0, 1, 2, for an offset in [0, 1)."""
    t, t2, t3 = offset, offset * offset, offset * offset * offset
    return (
        -0.5 * t + t2 - 0.5 * t3,
        1 - 2.5 * t2 + 1.5 * t3,
        0.5 * t + 2 * t2 - 1.5 * t3,
        0.5 * t3 - 0.5 * t2,
    )


class DeviceCrops:
    """Endless batches of crops on a device, as `CropStream` gives them.

    The same distribution, but half of the crops that are resized are also turned, by up to `PITCH`, about a horizontal
    axis; a crop's latitudes are those of the turned panorama. The batch of a step depends on ``seed`` and the step's
    number alone.
    """

    def __init__(
        self,
        panoramas: DevicePanoramas,
        *,
        size: int,
        batch: int,
        scales: tuple[float, float],
        native_share: float,
        seed: tuple[int, ...] = (0,),
        first: int = 0,
    ) -> None:
        self.panoramas, self.size, self.batch = panoramas, size, batch
        self.scales, self.native_share, self.seed, self.first = scales, native_share, seed, first
        self.sampler: Sampler = sample

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        generator = torch.Generator(device=self.panoramas.pixels.device)
        number = self.first
        while True:
            generator.manual_seed(hash((*self.seed, number)) & 0x7FFF_FFFF_FFFF)
            yield self.draw(generator)
            number += 1

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """One batch; no value leaves the device."""
        these, batch, size = self.panoramas, self.batch, self.size
        draw = torch.rand(9, batch, generator=generator, device=these.pixels.device)
        chosen = torch.searchsorted(these.cumulative, draw[0]).clamp_max(len(these.cumulative) - 1)
        width, height = these.width[chosen, 0].float(), these.height[chosen, 0].float()
        low = (size / height).clamp_min(self.scales[0])
        scale = torch.exp(torch.lerp(low.log(), low.clamp_min(self.scales[1]).log(), draw[1]))
        native = draw[2] < self.native_share
        scale = torch.where(native, (size / height).clamp_min(1), scale)
        source = (size / scale).minimum(height)  # pixels of the panorama across a crop
        reach = math.pi / 2 * (1 - source / height)
        centre = torch.asin((2 * draw[3] - 1) * torch.sin(reach))
        top = ((0.5 - centre / math.pi) * height - source / 2).clamp_min(0).minimum(height - source)
        first = draw[4] * width
        top, first = torch.where(native, top.round(), top), torch.where(native, first.floor(), first)
        inside = (torch.arange(size, device=source.device) + 0.5) / size
        rows = top[:, None] + inside * source[:, None]
        across = torch.where(draw[5, :, None] < 0.5, inside, 1 - inside)
        columns = first[:, None] + across * source[:, None]
        latitude = math.pi * (0.5 - rows / height[:, None])
        pitch = torch.where(native | (draw[6] < 0.5), torch.zeros_like(scale), (2 * draw[7] - 1) * PITCH)
        level = (-2 * torch.log2(scale) + 1e-4).floor().clamp(0, these.scales - 1).long()
        place = (these.start[chosen, level], these.width[chosen, level], these.height[chosen, level])
        longitude = 2 * math.pi * columns / width[:, None]
        parts = zip(*(x.split(CHUNK) for x in (latitude, longitude, pitch, *place)), strict=True)
        pixels = torch.cat([self._sampled(*part) for part in parts])
        return pixels.permute(0, 3, 1, 2), latitude, torch.cos(0.8 * reach) / torch.cos(centre)

    def _sampled(self, *part: Tensor) -> Tensor:
        latitude, longitude, pitch, start, width, height = part
        where = (start[:, None, None], width[:, None, None], height[:, None, None])
        column, row = turned(latitude, longitude, pitch, where[1], where[2])
        return self.sampler(self.panoramas.pixels, *where, column, row)


def turned(latitude: Tensor, longitude: Tensor, pitch: Tensor, width: Tensor, height: Tensor) -> tuple[Tensor, Tensor]:
    """Where rows at ``latitude`` (batch, rows) and columns at ``longitude`` (batch, cols) lie in a panorama turned by
    ``pitch`` (batch,) about the axis through longitude 90°: columns and rows (batch, rows, cols), in pixels."""
    lat, lon, angle = latitude[:, :, None], longitude[:, None, :], pitch[:, None, None]
    ahead, aside, up = torch.cos(lat) * torch.cos(lon), torch.cos(lat) * torch.sin(lon), torch.sin(lat)
    ahead, up = ahead * torch.cos(angle) - up * torch.sin(angle), ahead * torch.sin(angle) + up * torch.cos(angle)
    still = (angle == 0).expand_as(ahead)
    longitudes = torch.where(still, lon.expand_as(ahead), torch.atan2(aside, ahead))
    latitudes = torch.where(still, lat.expand_as(ahead), torch.asin(up.clamp(-1, 1)))
    column = longitudes / (2 * math.pi) * width - 0.5
    row = (0.5 - latitudes / math.pi) * height - 0.5
    return column, row


def compile_sampler(crops: DeviceCrops) -> bool:
    """Compile what samples crops and try it; False, and as it was, where that fails."""
    try:
        crops.sampler = torch.compile(sample, dynamic=False)
        next(iter(crops))
    except Exception as error:
        crops.sampler = sample
        print(f"crops are sampled uncompiled: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        return False
    return True
