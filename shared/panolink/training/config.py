"""Settings of a training run, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import Field, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from panolink.errors import ModelError

SSIM_IN_DECIBELS = 38.0
"""What VSSIM counts beside VPSNR where both are trained for: from 0.1 to 0.2 bpp the one rises by 0.061, the other by
2.34 dB (`base`, docs/rate_distortion.md)."""

LPIPS_IN_DECIBELS = 24.0
"""What LPIPS counts beside VPSNR where both are trained for: from 0.1 to 0.2 bpp it falls by 0.096."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One run. Its rate is constant after the warm-up and decays over the last part; see `Schedule`."""

    profile: str = "base"
    steps: int = 0
    """at most in one call, even where it goes on from a checkpoint; 0: no limit"""
    minutes: float = 60.0
    """of one call, likewise; 0: until it is stopped"""
    decay_share: float = 0.2
    """last part of the run, over which the learning rates fall to zero"""
    rate: float = 1.0
    """by which both learning rates are multiplied"""
    batch: int = 8
    crop: int = 256
    scales: tuple[float, float] = (0.6, 1.0)
    """by which panoramas are resized before they are cropped, at least and at most"""
    native_share: float = 0.0
    """share of crops cut from panoramas as they are, at 1 : 1"""
    strong_colours: float = 0.0
    """share of crops whose colours are changed and saturated; see `with_strong_colours`"""
    crops_on_device: bool = False
    """hold all panoramas in the device's memory and cut crops there; see `DevicePanoramas`"""
    learning_rate: float = 1e-3
    """of Adam, for everything but the 3×3 kernels"""
    kernel_learning_rate: float = 2e-3
    """of Muon, for the 3×3 kernels"""
    kernel_decay: float = 0.3
    """by which kernels shrink at each of Muon's steps, relative to its learning rate"""
    inner_kernels_only: bool = False
    """leave each network's first and last convolution to Adam"""
    warm_up: int = 200
    """steps from the first, over which the learning rates rise"""
    distortion: str = "mse"
    """"mse", or "l1" as in the paper"""
    structure: float = 0.0
    """share of the distortion that is 1 − SSIM, 0 … 1"""
    commitment: float = 0.05
    """weight of ‖F − Q‖² (in pixel units) against the distortion"""
    bits_weight: float = 1.0
    """λ of the features' bits against the distortion, relative to a uniform quantiser's; 0: bits are free"""
    context_rate: bool = False
    """whether estimated bits depend on a token's neighbours, as the entropy coder's do"""
    steps_range: tuple[int, int] = (0, 16)
    """quantisation steps drawn in training, quarter octaves"""
    lost_batches: float = 0.125
    """share of batches that train concealment"""
    lost_share: float = 0.15
    """share of tokens, or of their rows, lost in those batches"""
    indices_only: bool = False
    """never send features: τ = 0, plain vector quantisation"""
    decoder_only: bool = False
    """train a decoder alone, for the encoder, codebook and entropy coder of a model that is finished (``start``): a
    second one where it is for looks (``perceptual_weight``), else a better one of its own"""
    perceptual_weight: float = 0.0
    """weight of LPIPS against the relative squared error"""
    perceptual_network: str = "vgg16"
    """of LPIPS: "vgg16", or "alexnet" for a tenth of its work. Figures are reported with the latter: what is trained
    with it has to be judged by other measures as well."""
    compiled: bool = False
    """compile networks, distortion and LPIPS on a CPU (a GPU's step is compiled anyway): worth its two minutes in
    longer runs"""
    adversarial_from: float = 1.0
    """progress at which the second, adversarial part begins; 1 = never"""
    adversarial_weight: float = 0.0
    ema: float = 0.999
    validate_minutes: float = 6.0
    """between validations, or a quarter of a shorter run; 0: only at the end"""
    checkpoint_minutes: float = 10.0
    snapshots: int = 5
    """averaged weights of so many last checkpoints are kept; at the end their mean ships if it is the best"""
    validation_images: int = 12
    copies: int = 8
    """How often the networks of the entropy coder see each panorama, after training: at another width, turned, often
    mirrored. With one copy an index of `base` cost 6 % more bits on panoramas held out, a token's symbols 3 % more."""
    seed: int = 0

    @property
    def second_decoder(self) -> bool:
        """Whether the run trains a further decoder of a model, beside its own."""
        return self.decoder_only and self.perceptual_weight > 0

    @property
    def judged_by(self) -> tuple[float, bool, bool, int]:
        """Settings that a `score` depends on beside the weights: scores by others say nothing of it."""
        return self.structure, self.perceptual_weight > 0, self.indices_only, self.validation_images

    def score(self, validation: dict[str, float]) -> float:
        """The figure by which validations of such a run are compared: the larger the better.

        Parameters
        ----------
        validation : dict of str to float
            As of `panolink.training.validation.validate`.
        """
        if self.indices_only:
            return validation["vpsnr0"]
        if self.second_decoder:
            return -validation["lpips_at_0.1"]
        found = validation["vpsnr_at_0.1"]
        if self.structure:
            share = self.structure
            found = (1 - share) * found + share * SSIM_IN_DECIBELS * validation["vssim_at_0.1"]
        if self.perceptual_weight:
            found -= LPIPS_IN_DECIBELS * validation["lpips_at_0.1"]
        return found

    @classmethod
    def load(cls, name: str | Path) -> TrainingConfig:
        """A shipped configuration by its name, or a TOML file by its path; `ModelError` where it is none."""
        path = Path(name)
        if path.suffix == ".toml":
            text = path.read_text()
        else:
            shipped = resources.files("panolink.training") / "configs" / f"{name}.toml"
            if not shipped.is_file():
                known = "base, decoder, perceptual, paper, vqgan or a .toml file"
                raise ModelError(f"no training configuration {str(name)!r}; give {known}")
            text = shipped.read_text()
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ModelError(f"{name}: no TOML ({error})") from None
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ModelError(f"{name}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
        settings: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        for field in fields(cls):
            if field.name in settings and (wanted := _wanted(field, settings[field.name])):
                raise ModelError(f"{name}: {field.name} = {values[field.name]!r}: wanted is {wanted}")
        return cls(**settings)


WORDS = {"distortion": ("mse", "l1"), "perceptual_network": ("vgg16", "alexnet")}
"""values of settings that are words"""


def _wanted(field: Field[Any], value: Any) -> str:
    """What a setting's value has to be, empty where it is; whole numbers are numbers, too."""
    if field.name in WORDS:
        return "" if value in WORDS[field.name] else " or ".join(map(repr, WORDS[field.name]))
    default = field.default
    if isinstance(default, tuple):
        fits = isinstance(value, tuple) and len(value) == len(default) and all(map(_is, value, default))
        return "" if fits else f"{len(default)} {_kind(default[0])}s"
    return "" if _is(value, default) else f"a {_kind(default)}"


def _is(value: Any, default: Any) -> bool:
    kinds = (int, float) if isinstance(default, float) else type(default)
    return isinstance(value, kinds) and isinstance(value, bool) == isinstance(default, bool)


def _kind(default: Any) -> str:
    return {bool: "truth value", int: "whole number", float: "number", str: "word"}[type(default)]
