"""A profile's networks and its codebook in one module: what is trained, and what a weights file holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from panolink.codec.networks.decoder import BaseDecoder, PaperDecoder
from panolink.codec.networks.encoder import BaseEncoder, PaperEncoder
from panolink.errors import ModelError


@dataclass(frozen=True)
class Profile:
    """Sizes of a model. ``factor``: pixels per token in each direction; ``dim``: of a feature; ``codes``: K."""

    name: str
    family: str
    dim: int
    codes: int = 1024
    factor: int = 16
    encoder_channels: tuple[int, ...] = ()
    encoder_blocks: tuple[int, ...] = ()
    decoder_channels: tuple[int, ...] = ()
    decoder_blocks: tuple[int, ...] = ()
    leak: float = 0.0
    """slope of the family ``base``'s activations below zero"""
    ranking: str = "rate"
    """how tokens are ranked unless the caller says otherwise"""

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """From the JSON object that a weights file carries; TypeError for unknown or missing sizes."""
        values: dict[str, Any] = json.loads(text)
        sizes: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**sizes)


PROFILES = {
    "base": Profile(
        name="base",
        family="base",
        dim=192,
        encoder_channels=(64, 128, 160),
        encoder_blocks=(1, 2, 1),
        decoder_channels=(208, 128, 64),
        decoder_blocks=(3, 3, 2),
        leak=0.1,
    ),
    "paper": Profile(name="paper", family="paper", dim=64, encoder_channels=(16, 32, 64, 128), ranking="paper"),
}


class Autoencoder(nn.Module):
    """Encoder, codebook and decoder of a profile. ``codebook`` (codes, dim) is a buffer: it learns by averaging."""

    codebook: Tensor

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        if profile.family == "base":
            self.encoder: nn.Module = BaseEncoder(
                dim=profile.dim,
                channels=profile.encoder_channels,  # type: ignore[arg-type]
                blocks=profile.encoder_blocks,  # type: ignore[arg-type]
                leak=profile.leak,
            )
            self.decoder: nn.Module = BaseDecoder(
                dim=profile.dim,
                channels=profile.decoder_channels,  # type: ignore[arg-type]
                blocks=profile.decoder_blocks,  # type: ignore[arg-type]
                leak=profile.leak,
            )
        elif profile.family == "paper":
            self.encoder = PaperEncoder(dim=profile.dim, channels=profile.encoder_channels)
            self.decoder = PaperDecoder(dim=profile.dim, channels=profile.encoder_channels)
        else:
            raise ModelError(f"profile {profile.name!r} is of unknown family {profile.family!r}; known: base, paper")
        self.register_buffer("codebook", torch.randn(profile.codes, profile.dim))
