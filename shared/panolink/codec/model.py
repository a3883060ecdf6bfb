"""Trained models: profile, networks, codebook and tables in one safetensors file, identified by a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from panolink.codec.entropy.tables import Tables
from panolink.codec.networks.autoencoder import Autoencoder, Profile
from panolink.codec.realism import Decoder, is_file, realism_of
from panolink.codec.weights_files import write_weights
from panolink.errors import ModelError

FORMAT = "panolink-model-3"
DECODER_FORMAT = "panolink-decoder-1"
DECODER_SUFFIX = "-p"
"""of the name of a perceptual decoder's weights file"""


@dataclass(frozen=True)
class Model:
    """A trained model as loaded: both ends of a link must hold the same one."""

    name: str
    network: Autoencoder
    tables: Tables
    fingerprint: str
    """16 hexadecimal digits over profile, codebook, tables and decoder as stored"""
    card: dict
    """model card: data, steps, minutes and figures of its training"""

    @property
    def profile(self) -> Profile:
        """Of the networks."""
        return self.network.profile


MAX_CARD_LENGTH = 1 << 20
"""characters of a model card as JSON"""


def save_model(path: Path, *, network: Autoencoder, tables: Tables, card: dict) -> None:
    """Write a model.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file.
    network : Autoencoder
        Stored in half precision, like its codebook.
    tables : Tables
        Stored as integers.
    card : dict
        Of values that JSON can hold.
    """
    tensors = {name: _stored(value) for name, value in network.state_dict().items()}
    tensors |= {f"tables.{name}": torch.from_numpy(np.ascontiguousarray(v)) for name, v in tables.to_arrays().items()}
    profile = json.dumps(asdict(network.profile))
    metadata = {"format": FORMAT, "profile": profile, "card": json.dumps(card)}
    write_weights(path, tensors, metadata)


def load_model(name: str | Path) -> Model:
    """Load a model, in evaluation mode on the CPU.

    Parameters
    ----------
    name : str or Path
        A shipped model by name, or a ``.safetensors`` file by path.

    Raises
    ------
    ModelError
        Where there is none, or its file is damaged.
    """
    path = _find(str(name))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable weights file ({error})") from None
    if metadata.get("format") != FORMAT:
        raise ModelError(f"{path}: not a Panolink model of format {FORMAT}")
    try:
        profile = Profile.from_json(metadata["profile"])
        prefix = "tables."
        # Copies: a tensor of the file keeps all of it mapped.
        arrays = {name: tensors.pop(name).numpy().copy() for name in list(tensors) if name.startswith(prefix)}
        tables = Tables.from_arrays({name.removeprefix(prefix): array for name, array in arrays.items()})
        if tables.levels.shape != (profile.codes, profile.dim):
            shape = "×".join(map(str, tables.levels.shape))
            raise ValueError(f"tables for codes of {shape}; the codebook's are {profile.codes}×{profile.dim}")
        _check_shapes(profile, tensors)
        network = Autoencoder(profile)
        fingerprint = _fingerprint(metadata["profile"], tensors, tables)
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        )
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: weights do not fit their profile ({str(error).splitlines()[0]})") from None
    return Model(path.stem, network.eval(), tables, fingerprint, _card(path, metadata))


def _check_shapes(profile: Profile, tensors: dict[str, torch.Tensor]) -> None:
    """Raise `ValueError` where a profile asks for other tensors than there are, before memory is taken for them."""
    with torch.device("meta"):
        _check_tensors(Autoencoder(profile).state_dict(), tensors)


def _check_tensors(wanted: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise `ValueError` where tensors are not those that a network has, by name and shape, or hold no numbers."""
    for name, value in wanted.items():
        if name not in tensors or tensors[name].shape != value.shape:
            found = f", but one of {_size(tensors[name])}" if name in tensors else ""
            raise ValueError(f"no tensor {name} of {_size(value)}{found}")
    if unknown := sorted(tensors.keys() - wanted.keys()):
        raise ValueError(f"no place for tensor {unknown[0][:100]} of {_size(tensors[unknown[0]])}")
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"tensor {name} holds what is no finite number")
        if name.endswith("running_var") and (value < 0).any():
            raise ValueError(f"tensor {name} holds a negative variance")


def _size(tensor: torch.Tensor) -> str:
    """A tensor's shape, as messages have it."""
    return "×".join(map(str, tensor.shape)) or "a number"


def _card(path: Path, metadata: dict[str, str]) -> dict:
    """Model card of a weights file.

    Raises
    ------
    ModelError
        It is no JSON object, or too long.
    """
    text = metadata.get("card", "{}")
    try:
        if len(text) > MAX_CARD_LENGTH:
            raise ValueError(f"{len(text)} characters; allowed: {MAX_CARD_LENGTH}")
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: unreadable model card ({str(error).splitlines()[0][:200]})") from None
    if not isinstance(card, dict):
        raise ModelError(f"{path}: unreadable model card (no JSON object)")
    return card


def save_decoder(path: Path, *, network: Autoencoder, fingerprint: str, card: dict) -> None:
    """Write a decoder as a further one of a model.

    Parameters
    ----------
    path : Path
        A .safetensors file.
    network : Autoencoder
        Whose decoder it is.
    fingerprint : str
        Of the model.
    card : dict
        Of the decoder.
    """
    tensors = {name: _stored(value) for name, value in network.decoder.state_dict().items()}
    write_weights(path, tensors, {"format": DECODER_FORMAT, "model": fingerprint, "card": json.dumps(card)})


def load_decoder(model: Model, decoder: Decoder | str | Path = "", realism: float | None = None) -> None:
    """Replace the decoder of ``model``, in place, by another one or by one in between.

    Parameters
    ----------
    model : Model
        As `load_model` gives it, with its own decoder. Where an error is raised it is as it was.
    decoder : Decoder, str or Path
        The shipped decoder of that kind, or a ``.safetensors`` file; empty: as the realism says. ``fidelity`` keeps the
        model's own.
    realism : float, optional
        0 … 1: how far its weights are from the model's own decoder (0) towards the shipped perceptual one, or that of
        the file (1), see `interpolate`. None: the one that is named, or the model's own.

    Raises
    ------
    ModelError
        Where there is none, where it belongs to another model, or where ``decoder`` names another realism.
    """
    realism = realism_of(decoder, realism)
    if not realism and not is_file(decoder):
        return
    path = Path(decoder) if is_file(decoder) else _perceptual_path(model)
    if is_file(decoder) and not path.is_file():
        raise ModelError(f"no decoder {str(decoder)!r}; allowed: {', '.join(Decoder)}, or a file of one")
    if not path.is_file():
        raise ModelError(
            f"model {model.name!r} has no perceptual decoder; there is {', '.join(_perceptual()) or 'none'}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable file of a decoder ({error})") from None
    if metadata.get("format") != DECODER_FORMAT:
        raise ModelError(f"{path}: not a decoder of format {DECODER_FORMAT}")
    if metadata.get("model") != model.fingerprint:
        raise ModelError(
            f"{path}: a decoder for model {metadata.get('model')}, not for {model.name!r} with {model.fingerprint}"
        )
    own = model.network.decoder.state_dict()
    try:
        _check_tensors(own, tensors)
    except ValueError as error:
        raise ModelError(f"{path}: weights do not fit their model ({error})") from None
    interpolate(tensors, own, 1.0 if realism is None else realism)
    model.network.decoder.load_state_dict(tensors)


def interpolate(tensors: dict[str, torch.Tensor], own: Mapping[str, torch.Tensor], realism: float) -> None:
    """Deep network interpolation (Wang et al., CVPR 2019, arXiv:1811.10515): θ = (1 − r) · θ_own + r · θ.

    It works between a network and one that was fine-tuned from it. Integers, such as a count of batches, are left as
    they are.

    Parameters
    ----------
    tensors : dict of str to float32
        θ of the other network, by name; changed in place.
    own : mapping of str to Tensor
        θ_own, of the same names and shapes.
    realism : float
        r, 0 … 1; at 1 nothing changes, to the bit.
    """
    if realism == 1:
        return
    for name, tensor in tensors.items():
        first = own[name]
        if first.is_floating_point():
            tensor.mul_(realism).add_(first.to(tensor), alpha=1 - realism)


def decoders_of(model: Model) -> list[Decoder]:
    """The kinds of decoders that there are for a model: its own, and a shipped perceptual one that fits it.

    Raises
    ------
    ModelError
        The file of the latter cannot be read.
    """
    path = _perceptual_path(model)
    if not path.is_file():
        return [Decoder.FIDELITY]
    try:
        with safe_open(path, framework="pt") as file:
            fits = (file.metadata() or {}).get("model") == model.fingerprint
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable file of a decoder ({error})") from None
    return [Decoder.FIDELITY, Decoder.PERCEPTUAL] if fits else [Decoder.FIDELITY]


def shipped_models() -> list[str]:
    """Names of the models that come with the package, sorted."""
    return [name for name in _shipped() if not name.endswith(DECODER_SUFFIX)]


def _perceptual_path(model: Model) -> Path:
    """Where a shipped perceptual decoder for a model of that name is, if there is one."""
    return Path(str(resources.files("panolink") / "weights" / f"{model.name}{DECODER_SUFFIX}.safetensors"))


def _perceptual() -> list[str]:
    """The shipped perceptual decoders, as an error message lists them."""
    return [f"one for {name.removesuffix(DECODER_SUFFIX)}" for name in _shipped() if name.endswith(DECODER_SUFFIX)]


def _shipped() -> list[str]:
    """Names of all weights files of the package, without suffix."""
    folder = resources.files("panolink") / "weights"
    names = [Path(entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.stem for name in names if name.suffix == ".safetensors")


def _find(name: str) -> Path:
    """The weights file of a shipped model, or the path itself; ModelError where there is none."""
    path = Path(name)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise ModelError(f"{name}: no such weights file")
        return path
    if name not in shipped_models():
        raise ModelError(
            f"unknown model {name!r}; shipped are {', '.join(shipped_models()) or 'none'}, or give a .safetensors file"
        )
    return Path(str(resources.files("panolink") / "weights" / f"{name}.safetensors"))


def _stored(value: torch.Tensor) -> torch.Tensor:
    """As weights files hold a tensor: on the CPU, in half precision where it is floating point."""
    return value.detach().cpu().contiguous().half() if value.is_floating_point() else value.detach().cpu().contiguous()


def _fingerprint(profile: str, tensors: dict[str, torch.Tensor], tables: Tables) -> str:
    """Hash of what both ends have to share, 16 hexadecimal digits: all but the encoder."""
    digest = hashlib.sha256(profile.encode())
    for name in sorted(tensors):
        if not name.startswith("encoder."):
            digest.update(name.encode())
            digest.update(tensors[name].numpy().tobytes())
    for name, table in sorted(tables.to_arrays().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()[:16]
