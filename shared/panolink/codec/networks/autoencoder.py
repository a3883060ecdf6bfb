"""Profiles and their networks: a profile's encoder, codebook and decoder in one module, what a weights file holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from panolink.codec.networks.decoder import BaseDecoder, PaperDecoder
from panolink.codec.networks.encoder import BaseEncoder, PaperEncoder
from panolink.codec.shapes import Codebook
from panolink.errors import ModelError

MAX_PROFILE_LENGTH = 1 << 14
"""characters of a profile as JSON"""

_MOST = {
    "dim": 1024,
    "codes": 1 << 16,
    "factor": 64,
    **dict.fromkeys(("encoder_channels", "decoder_channels"), 4096),
    **dict.fromkeys(("encoder_blocks", "decoder_blocks"), 32),
}
_MOST_STAGES = 16

_REMOVED = {"leak": 0.0, "pixel_stem": False}
"""fields of earlier versions, and what they were for networks that there still are"""


@dataclass(frozen=True)
class Profile:
    """Sizes of a model; they are stored in its weights file."""

    name: str
    family: str
    """of networks: a name given to `register_profile`"""
    dim: int
    """d, dimensions of a feature"""
    codes: int = 1024
    """K, size of the codebook"""
    factor: int = 16
    """f, pixels per token in each direction"""
    encoder_channels: tuple[int, ...] = ()
    encoder_blocks: tuple[int, ...] = ()
    decoder_channels: tuple[int, ...] = ()
    decoder_blocks: tuple[int, ...] = ()
    ranking: str = "rate"
    """how tokens are ranked unless the caller says otherwise"""

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """From the JSON object that a weights file carries.

        Raises
        ------
        TypeError
            Where sizes are unknown or missing.
        ValueError
            Where ``text`` is not JSON, is too long or too deep, holds a size that no model has, or is of networks that
            there are no more.
        """
        if len(text) > MAX_PROFILE_LENGTH:
            raise ValueError(f"profile of {len(text)} characters; allowed: {MAX_PROFILE_LENGTH}")
        try:
            values = json.loads(text)
        except RecursionError:
            raise ValueError("profile is nested too deeply") from None
        if not isinstance(values, dict):
            raise ValueError("profile is no JSON object")
        for name, kept in _REMOVED.items():
            if values.pop(name, kept) != kept:
                raise ValueError(f"profile: {name} is of networks of an earlier version")
        sizes: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**sizes)._checked()

    def _checked(self) -> Profile:
        """This profile; raises `ValueError` where a value is of another type, or a size that no model has."""
        for name in ("name", "family", "ranking"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"profile: {name} is no text")
        for name, most in _MOST.items():
            value = getattr(self, name)
            several = isinstance(value, tuple)
            sizes = value if several else (value,)
            if several != name.endswith(("channels", "blocks")) or len(sizes) > _MOST_STAGES:
                raise ValueError(f"profile: {name} is {str(value)[:40]}")
            for size in sizes:
                least = 0 if name.endswith("blocks") else 1
                if type(size) is not int or not least <= size <= most:
                    raise ValueError(f"profile: {name} is {str(size)[:40]}; allowed: integers from {least} to {most}")
        return self


Networks = tuple[nn.Module, nn.Module]
"""encoder (pixels → features) and decoder (features, guidance → pixels)"""

PROFILES: dict[str, Profile] = {}
"""the registered profiles by name"""

Builder = Callable[[Profile], Networks]

_BUILDERS: dict[str, Builder] = {}


def register_profile(name: str, **sizes: Any) -> Callable[[Builder], Builder]:
    """Register what it decorates as the builder of a family of networks, and a profile of that family and ``name``.

    Parameters
    ----------
    name : str
        Of the family and of its profile in `PROFILES`.
    **sizes
        Fields of the `Profile`. Others of the same family may differ in them.

    Raises
    ------
    ValueError
        Where the name is taken.
    """

    def register(build: Builder) -> Builder:
        if name in _BUILDERS:
            raise ValueError(f"profile {name!r} is registered already")
        PROFILES[name] = Profile(name=name, family=name, **sizes)
        _BUILDERS[name] = build
        return build

    return register


@register_profile(
    "base",
    dim=192,
    encoder_channels=(32, 64, 160),
    encoder_blocks=(2, 2, 2),
    decoder_channels=(192, 160, 64, 32),
    decoder_blocks=(4, 3, 1),
)
def base_networks(profile: Profile) -> Networks:
    """Networks of the profile that ships: the paper's kind, wider, from half the resolution on."""
    _check_factor(profile, 16)
    for field, count in (
        ("encoder_channels", 3),
        ("encoder_blocks", 3),
        ("decoder_channels", 4),
        ("decoder_blocks", 3),
    ):
        if len(getattr(profile, field)) != count:
            raise ModelError(f"profile {profile.name!r}: {field} has {len(getattr(profile, field))} sizes, not {count}")
    if not all(profile.decoder_blocks[1:]):
        raise ModelError(
            f"profile {profile.name!r}: no residual block before an octave of the decoder; "
            "one is the least but for the first octave"
        )
    return (
        BaseEncoder(dim=profile.dim, channels=profile.encoder_channels, blocks=profile.encoder_blocks),
        BaseDecoder(dim=profile.dim, channels=profile.decoder_channels, blocks=profile.decoder_blocks),
    )


@register_profile("paper", dim=64, encoder_channels=(16, 32, 64, 128), ranking="paper")
def paper_networks(profile: Profile) -> Networks:
    """Networks as section III-B of the paper has them."""
    _check_factor(profile, 2 ** len(profile.encoder_channels))
    return (
        PaperEncoder(dim=profile.dim, channels=profile.encoder_channels),
        PaperDecoder(dim=profile.dim, channels=profile.encoder_channels),
    )


def _check_factor(profile: Profile, factor: int) -> None:
    """Raise `ModelError` where a profile has not the pixels per token that its networks have."""
    if profile.factor != factor:
        raise ModelError(f"profile {profile.name!r}: factor is {profile.factor}; that of its networks is {factor}")


def vqgan_profile(factor: int, codes: int) -> Profile:
    """The paper's networks as the paper compares with them: a VQGAN, which sends indices alone.

    Parameters
    ----------
    factor : int
        f, pixels per token in each direction: a power of two up to 16.
    codes : int
        K, size of the codebook.
    """
    paper = PROFILES["paper"]
    channels = paper.encoder_channels[: factor.bit_length() - 1]
    name = f"vqgan-f{factor}-k{codes}"
    return replace(paper, name=name, factor=factor, codes=codes, encoder_channels=channels)


VQGANS = tuple(vqgan_profile(factor, codes) for factor, codes in ((16, 256), (16, 1024), (8, 1024)))
"""what the paper compares with, to be trained for that; none ships"""

PROFILES |= {profile.name: profile for profile in VQGANS}


class Autoencoder(nn.Module):
    """Encoder, codebook and decoder of a profile.

    ::

        x ─ encoder ─ F ─▶ (AM-VQ with the codebook, coding, channel) ─▶ F̂ ─ decoder ─ x̂

    ``codebook`` (K, dim) is a buffer: it is learned by exponential moving averages, not by gradients.

    Raises
    ------
    ModelError
        Where the profile's family is not registered, or its networks have another factor than it has.
    """

    codebook: Codebook

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        if profile.family not in _BUILDERS:
            known = ", ".join(sorted(_BUILDERS))
            raise ModelError(f"profile {profile.name!r} is of unknown family {profile.family!r}; known: {known}")
        self.profile = profile
        self.encoder, self.decoder = _BUILDERS[profile.family](profile)
        codebook = torch.empty(profile.codes, profile.dim)
        if not codebook.is_meta:  # where shapes alone are asked for, random numbers load sympy: a second and 45 MiB
            codebook.normal_()
        self.register_buffer("codebook", codebook)
