import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.networks.autoencoder import (
    PROFILES,
    VQGANS,
    Autoencoder,
    Profile,
    base_networks,
    register_profile,
)
from panolink.errors import ModelError


def test_profiles_are_registered_with_their_family():
    assert {name: (profile.name, profile.family) for name, profile in PROFILES.items()} == {
        "base": ("base", "base"),
        "paper": ("paper", "paper"),
        **{name: (name, "paper") for name in ("vqgan-f16-k256", "vqgan-f16-k1024", "vqgan-f8-k1024")},
    }
    assert [(p.factor, p.codes, len(p.encoder_channels)) for p in VQGANS] == [(16, 256, 4), (16, 1024, 4), (8, 1024, 3)]
    with pytest.raises(ValueError, match="'base' is registered already"):
        register_profile("base", dim=4)(base_networks)


def test_profiles_survive_json():
    for profile in PROFILES.values():
        assert Profile.from_json(json.dumps(asdict(profile))) == profile
    with pytest.raises(TypeError):
        Profile.from_json('{"name": "x", "family": "base", "dim": 4, "depth": 2}')


@pytest.mark.parametrize(("name", "factor", "own"), [("base", 8, 16), ("base", 32, 16), ("paper", 8, 16)])
def test_a_factor_that_is_not_that_of_the_networks(name: str, factor: int, own: int):
    with pytest.raises(ModelError, match=f"profile '{name}': factor is {factor}; that of its networks is {own}"):
        Autoencoder(replace(PROFILES[name], factor=factor))


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"encoder_channels": (8, 8)}, "encoder_channels has 2 sizes, not 3"),
        ({"decoder_channels": (8, 8, 8)}, "decoder_channels has 3 sizes, not 4"),
        ({"decoder_blocks": (1, 1, 1, 1)}, "decoder_blocks has 4 sizes, not 3"),
        ({"decoder_blocks": (0, 0, 1)}, "one is the least but for the first octave"),
    ],
)
def test_sizes_that_the_networks_of_base_cannot_have(sizes: dict, says: str):
    with pytest.raises(ModelError, match=f"profile 'base': .*{says}"):
        Autoencoder(replace(PROFILES["base"], **sizes))


def test_profiles_of_earlier_versions():
    """One without what there is no more is what it was; one with it is refused."""
    paper = {**asdict(PROFILES["paper"]), "leak": 0.0}
    assert Profile.from_json(json.dumps(paper)) == PROFILES["paper"]
    for name, value in (("leak", 0.1), ("pixel_stem", True)):
        with pytest.raises(ValueError, match=f"profile: {name} is of networks of an earlier version"):
            Profile.from_json(json.dumps({**paper, name: value}))


def test_unknown_family():
    with pytest.raises(ModelError, match=r"'cubist'.*known: base, paper"):
        Autoencoder(Profile("x", "cubist", 4))


def test_profiles_fit_into_sixteen_mebibytes():
    for profile in PROFILES.values():
        values = sum(value.numel() for value in Autoencoder(profile).state_dict().values())
        assert 2 * values < 16 * 2**20


def test_codec_has_no_seam_either(tiny: Codec, panorama: np.ndarray):
    (features,) = tiny.extract([panorama])
    (turned,) = tiny.extract([np.roll(panorama, 64, axis=1)])
    torch.testing.assert_close(turned, features.roll(4, dims=-1), rtol=1e-3, atol=1e-2)
