"""Runs a model's networks on a device: batches of pictures or features in, features or pictures out.

Small panoramas run as batches of one size, from recordings where there are some; on a CPU large ones run in bands of
rows (`panolink.codec.networks.row_bands`). Half precision is a matter of this module alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import starmap

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.decoder import GUIDANCE_PLANES
from panolink.codec.networks.execution import Recorded, Transfers, has_bfloat16
from panolink.codec.resolution import enlarge
from panolink.codec.shapes import Features, Guidance, Image, Pixels
from panolink.sphere.padding import pad_to_tokens

BAND_PIXELS = 1 << 19
"""Panoramas of more pixels run through the networks in bands of rows of about so many, on a CPU: at no cost in time. In
float32, where each value takes twice the room, of half as many."""


class NetworkRunner:
    """Encoder and decoder of one model on one device.

    Safe to use from several threads.

    Parameters
    ----------
    network : Autoencoder
        Moved to the device; in evaluation mode. It may have no decoder.
    device : torch.device
    band_pixels : int, optional
        Panoramas of more pixels run in bands of rows of about so many; None: `BAND_PIXELS` on a CPU (half of it in
        float32), and all at once on a GPU.
    """

    def __init__(self, network: Autoencoder, device: torch.device, *, band_pixels: int | None = None) -> None:
        self.device = device
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.bfloat16 = has_bfloat16(device.type)
        """Whether networks run in bfloat16; else in float32."""
        usual = BAND_PIXELS if self.bfloat16 else BAND_PIXELS // 2
        self.band_pixels = usual if band_pixels is None and device.type == "cpu" else band_pixels
        self._factor, self._dim = network.profile.factor, network.profile.dim
        self._transfers = Transfers(device)
        self._encoder, self._decoder = Recorded(self._run_encoder), Recorded(self.pixels)

    @property
    def has_decoder(self) -> bool:
        """Whether `decode` can be called."""
        return hasattr(self.network, "decoder")

    @torch.inference_mode()
    def record(self, size: tuple[int, int], *, batch: int = 1) -> None:
        """Record both networks for panoramas of a size, see `panolink.codec.networks.execution.Recorded`.

        Parameters
        ----------
        size : (int, int)
            Height and width, pixels.
        batch : int
            Panoramas at a time.
        """
        self._encoder.record(torch.zeros((batch, *size, 3), dtype=torch.uint8, device=self.device))
        if not self.has_decoder:
            return
        rows, cols = self._token_grid(size)
        features = torch.zeros((batch, self._dim, rows, cols), device=self.device)
        guidance = torch.zeros((batch, GUIDANCE_PLANES, rows, cols), device=self.device)
        self._decoder.record(features.contiguous(memory_format=torch.channels_last), guidance)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image]) -> Sequence[Features]:
        """Features of images of one size, as one batch or each in bands of rows.

        Parameters
        ----------
        images : sequence of uint8 (H, W, 3)

        Returns
        -------
        sequence of float32 (1, dim, rows, cols)
        """
        height, width = images[0].shape[:2]
        if (band := self._band_rows((height, width), self.network.encoder)) < height:
            return [self._encode_by_rows(image, band) for image in images]
        return self._encoder(self._transfers.to_device(images)).split(1)

    @torch.inference_mode()
    def decode(
        self, inputs: Iterable[tuple[Features, Guidance]], size: tuple[int, int], *, reduced: bool
    ) -> Sequence[Image]:
        """Pictures of one size from features and guidance, as one batch or each in bands of rows.

        Parameters
        ----------
        inputs : iterable of (1, dim, rows, cols) and (1, 3, rows, cols)
            Features and guidance of each picture, of one shape; in bands of rows only one is asked for at a time.
        size : (int, int)
            Height and width of the pictures, pixels.
        reduced : bool
            Whether what was coded is smaller than the pictures, and is to be enlarged; else it is cut to their size.

        Returns
        -------
        sequence of uint8 (H, W, 3)
        """
        height, width = size
        if (band := self._band_rows(size, self.network.decoder)) < height:
            return list(starmap(partial(self._decode_by_rows, size=size, band=band, reduced=reduced), inputs))
        features, guidance = (torch.cat(parts).to(self.device) for parts in zip(*inputs, strict=True))
        pixels = self._decoder(features.contiguous(memory_format=torch.channels_last), guidance)
        pixels = enlarge(pixels, size) if reduced else pixels[..., :height, :width]
        return list(self._transfers.to_host(_as_bytes(pixels)))

    def pixels(self, features: Features, guidance: Guidance) -> Pixels:
        """The decoder as it is, so that autograd can follow it: all at once, neither cut nor rounded.

        Parameters
        ----------
        features : (batch, dim, rows, cols)
        guidance : (batch, 3, rows, cols)

        Returns
        -------
        float32 (batch, 3, H, W)
            About 0 … 255.
        """
        with self._autocast():
            return self.network.decoder(features, guidance)

    def _token_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tokens of a picture."""
        return -(-size[0] // self._factor), -(-size[1] // self._factor)

    def _band_rows(self, size: tuple[int, int], network: nn.Module) -> int:
        """Rows of pixels, whole tokens, of a panorama that are in a network at a time; its height: all at once."""
        height, width = size
        if self.band_pixels is None or height * width <= self.band_pixels or not hasattr(network, "by_rows"):
            return height
        return min(height, max(1, self.band_pixels // (width * self._factor)) * self._factor)

    def _encode_by_rows(self, image: NDArray[np.uint8], band: int) -> Features:
        """Features of an image, ``band`` rows at a time."""
        step, height = self.network.encoder.by_rows(), image.shape[0]
        shape = (1, self._dim, *self._token_grid((height, image.shape[1])))
        features = torch.empty(shape, device=self.device, memory_format=torch.channels_last)
        done = 0
        for start in range(0, height, band):
            pixels = torch.from_numpy(np.array(image[start : start + band])).to(self.device).permute(2, 0, 1)[None]
            with self._autocast():
                some = step(self._whole_tokens(pixels), start + band >= height)
            if some is not None:
                features[..., done : done + some.shape[-2], :] = some
                done += some.shape[-2]
        return features

    def _decode_by_rows(
        self, features: Features, guidance: Guidance, *, size: tuple[int, int], band: int, reduced: bool
    ) -> Image:
        """A picture, ``band`` rows of pixels at a time."""
        features = features.contiguous(memory_format=torch.channels_last)
        rows, cols = features.shape[-2:]
        picture = np.empty((*size, 3), np.uint8)
        shape = 1, 3, rows * self._factor, cols * self._factor
        small = torch.empty(shape, device=self.device) if reduced else None
        step, done = self.network.decoder.by_rows(), 0
        for start in range(0, rows, band // self._factor):
            some = slice(start, start + band // self._factor)
            with self._autocast():
                pixels = step(features[..., some, :], guidance[..., some, :], some.stop >= rows)
            if pixels is None:
                continue
            part = slice(done, done + pixels.shape[-2])
            if small is None:
                picture[part] = self._transfers.to_host(_as_bytes(pixels[..., : size[0] - done, : size[1]]))[0]
            else:
                small[..., part, :] = pixels
            done = part.stop
        if small is not None:
            for start in range(0, size[0], band):
                part = slice(start, min(start + band, size[0]))
                picture[part] = self._transfers.to_host(_as_bytes(enlarge(small, size, rows=part)))[0]
        return picture

    def _run_encoder(self, pixels: Tensor) -> Features:
        """Pixels uint8 (batch, H, W, 3) to features float32 (batch, dim, rows, cols)."""
        with self._autocast():
            return self.network.encoder(self._whole_tokens(pixels.permute(0, 3, 1, 2))).float()

    def _whole_tokens(self, pixels: Tensor) -> Pixels:
        """Pixels (batch, 3, H, W) as the encoder takes them."""
        return pad_to_tokens(pixels.float(), self._factor).contiguous(memory_format=torch.channels_last)

    def _autocast(self) -> torch.autocast:
        # Weights are cast anew each time: each is used once, and a cache of them does not go into a recording.
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16, cache_enabled=False)


def _as_bytes(pixels: Tensor) -> Tensor:
    """(batch, 3, H, W) as uint8 (batch, H, W, 3)."""
    return pixels.clamp(0, 255).round_().byte().permute(0, 2, 3, 1).contiguous()
