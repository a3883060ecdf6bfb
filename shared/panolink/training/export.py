"""From a training run to a model that ships: averaged weights, fitted tables, a card of figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from panolink.codec.model import Model, load_model, save_decoder, save_model
from panolink.codec.networks.autoencoder import Autoencoder, Profile
from panolink.errors import ModelError
from panolink.training.checkpoint import below, of_networks, read_state
from panolink.training.data import PanoramaCache
from panolink.training.feature_context_network import FeatureContextNetwork
from panolink.training.fit_tables import fit_tables
from panolink.training.frozen_batch_norm import keep_in_half_range
from panolink.training.validation import shrink
from panolink.training.warm_start import is_state

WIDTHS = (1024, 1536, 768, 512)
"""widths at which the tables are fitted, in turn"""


def export_model(
    weights: Path,
    profile: Profile,
    cache: PanoramaCache,
    indices: Sequence[int],
    target: Path,
    card: dict,
    *,
    copies: int,
    counted: int | None = None,
) -> None:
    """Write a model from a run's averaged weights, with the entropy coder fitted to it.

    Parameters
    ----------
    weights : Path
        ``best.safetensors`` of the run.
    profile : Profile
    cache : PanoramaCache
    indices : sequence of int
        Of the panoramas on which the entropy coder is fitted.
    target : Path
        A .safetensors file.
    card : dict
        What the file says of itself.
    copies : int
        How often its networks see each panorama; every copy takes up to 3 MiB of memory.
    counted : int, optional
        Symbols are counted on the first so many, unturned; None: on all.
    """
    state = read_state(weights)
    network = _networks(state, profile)
    # Half precision is what ships, so the tables have to be those of the rounded weights.
    rounded = {k: v.half().float() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    network.load_state_dict(rounded)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    start = None
    if learned := below("context.network.", state):
        start = FeatureContextNetwork(network.codebook)
        start.load_state_dict(learned)
    counted = len(indices) if counted is None else counted
    tables = fit_tables(network, views(cache, indices, copies), start=start, counted=counted)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_model(target, network=network, tables=tables, card=card)


def model_of_decoder(start: str, profile: str) -> Model:
    """The finished model that a run trains a decoder of.

    Parameters
    ----------
    start : str
        What the run began with: a model's name or file, or a folder with a state in pieces, which a session left that
        began with the shipped model of the profile.
    profile : str
        Name of the run's.

    Raises
    ------
    ModelError
        It cannot be read, or is the state of a run.
    """
    pieces = Path(start).is_dir()
    if not pieces and is_state(start):
        raise ModelError(f"{start}: a state, not a model; a decoder is trained for a finished model: export it first")
    return load_model(profile if pieces else start)


def check_codes(weights: Path, model: Model) -> None:
    """Raise `ModelError` where a run's weights, at its beginning or its end, have another codebook than its model.

    Parameters
    ----------
    weights : Path
    model : Model
    """
    with safe_open(weights, framework="pt") as file:
        codebook = file.get_tensor("codebook")
    if not torch.equal(codebook.half(), model.network.codebook.half()):
        raise ModelError(f"{weights}: a decoder for other codes than those of {model.name!r} ({model.fingerprint})")


def export_decoder(weights: Path, model: Model, target: Path, card: dict) -> None:
    """Write the decoder of a run's averaged weights, as a second one of a model.

    Parameters
    ----------
    weights : Path
        ``best.safetensors`` of the run.
    model : Model
        That the run began with.
    target : Path
        A .safetensors file.
    card : dict
        Of the new decoder.
    """
    network = _trained(weights, model.profile, model)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_decoder(target, network=network, fingerprint=model.fingerprint, card=card)


def export_own_decoder(weights: Path, model: Model, profile: Profile, target: Path, card: dict) -> None:
    """Write a model anew with the decoder of a run's averaged weights. All else stays: the entropy coder still fits.

    Parameters
    ----------
    weights : Path
        ``best.safetensors`` of the run.
    model : Model
        That the run began with.
    profile : Profile
        Of the new model.
    target : Path
        A .safetensors file.
    card : dict
        Of the run: ``decoder`` in the card of the model.
    """
    network = _trained(weights, profile, model)
    network.encoder.load_state_dict(model.network.encoder.state_dict())
    target.parent.mkdir(parents=True, exist_ok=True)
    save_model(target, network=network, tables=model.tables, card={**model.card, "decoder": card})


def _trained(weights: Path, profile: Profile, model: Model) -> Autoencoder:
    """The networks of a run that has trained a decoder of ``model``; raises `ModelError` where it was of another."""
    check_codes(weights, model)
    return _networks(read_state(weights), profile)


def _networks(state: Mapping[str, Tensor], profile: Profile) -> Autoencoder:
    """Of a run's state, as half precision can hold them."""
    network = Autoencoder(profile)
    network.load_state_dict(of_networks(state))
    keep_in_half_range(network)
    return network


def views(cache: PanoramaCache, indices: Sequence[int], copies: int) -> Iterator[NDArray[np.uint8]]:
    """What tables are fitted on, uint8 (H, W, 3): all panoramas unturned, then again, turned and mirrored.

    Parameters
    ----------
    cache : PanoramaCache
    indices : sequence of int
        Which of them.
    copies : int
        How often each comes.
    """
    random = np.random.default_rng(0)
    for copy in range(copies):
        for number, index in enumerate(indices):
            panorama = cache.panorama(index)
            width = min(WIDTHS[(number + copy) % len(WIDTHS)], panorama.shape[1] // 32 * 32)
            if copy:
                panorama = np.roll(panorama, random.integers(panorama.shape[1]), axis=1)
                panorama = panorama[:, :: random.choice([1, -1])]
            yield shrink(np.ascontiguousarray(panorama), width)
