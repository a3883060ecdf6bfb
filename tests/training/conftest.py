"""Panoramas, and profiles at a size that trains in a second."""

from dataclasses import replace
from pathlib import Path

import pytest

from panolink.codec.networks.autoencoder import PROFILES
from panolink.training.data import PanoramaCache

SAMPLES = Path(__file__).parent.parent.parent / "samples"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> PanoramaCache:
    return PanoramaCache(SAMPLES, tmp_path_factory.mktemp("cache"), max_width=256)


@pytest.fixture
def small_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped profiles' shapes at a size that trains in a second."""
    small = {"dim": 8, "codes": 16}
    base = {"encoder_channels": (8, 8, 8), "encoder_blocks": (0, 0, 1), "decoder_channels": (8, 8, 8, 8)}
    monkeypatch.setitem(PROFILES, "base", replace(PROFILES["base"], **small, **base, decoder_blocks=(1, 1, 1)))
    for name in ("paper", "vqgan-f16-k1024"):
        monkeypatch.setitem(PROFILES, name, replace(PROFILES[name], **small, encoder_channels=(4, 4, 4, 4)))
