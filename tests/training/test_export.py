from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.model import load_model, save_model
from panolink.codec.networks.autoencoder import PROFILES, Autoencoder, Profile
from panolink.errors import ModelError
from panolink.training import export
from panolink.training.checkpoint import save_state, under
from panolink.training.config import TrainingConfig
from panolink.training.context_rate import ContextRate
from panolink.training.data import PanoramaCache
from panolink.training.export import check_codes, export_own_decoder, model_of_decoder, views
from tests.codec.entropy.random_tables import CODES, DIM, random_tables

COPIES = 8
"""of each panorama, for the models that ship"""


SAMPLES = Path(__file__).parent.parent.parent / "samples"


@pytest.mark.slow
def test_copies_are_panoramas_turned_and_mirrored(cache: PanoramaCache):
    found = list(views(cache, [0, 1, 2], COPIES))
    assert len(found) == 3 * COPIES
    assert all(TrainingConfig.load(name).copies == COPIES for name in ("base", "paper"))
    mirrored = 0
    for number, view in enumerate(found):
        panorama = cache.panorama(number % 3)  # narrower than any of the widths, so that it is not resized
        if number < 3:
            np.testing.assert_array_equal(view, panorama)
            continue
        turns = [np.roll(panorama, turn, axis=1) for turn in range(panorama.shape[1])]
        plain, mirror = (any(np.array_equal(turn[:, ::way], view) for turn in turns) for way in (1, -1))
        assert plain or mirror
        mirrored += mirror
    assert 3 <= mirrored <= 3 * (COPIES - 1) - 3


def test_copies_come_at_other_widths(cache: PanoramaCache, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export, "WIDTHS", (128, 64, 96, 32))
    widths = [view.shape[1] for view in views(cache, [0, 1], 4)]
    assert widths == [128, 64, 64, 96, 96, 32, 32, 128]


def test_a_decoder_of_its_own_replaces_the_old_one_and_leaves_the_rest(small_profiles, tmp_path: Path):
    new = _of_tables()
    before = Autoencoder(new)
    save_model(tmp_path / "before.safetensors", network=before, tables=random_tables(), card={"steps": 9})
    model = load_model(tmp_path / "before.safetensors")
    trained = Autoencoder(new)
    trained.codebook.copy_(model.network.codebook)
    torch.nn.init.ones_(trained.decoder.transform.weight)  # type: ignore[union-attr]
    save_state(tmp_path / "best.safetensors", trained.state_dict())
    export_own_decoder(tmp_path / "best.safetensors", model, new, tmp_path / "after.safetensors", {"steps": 3})
    after = load_model(tmp_path / "after.safetensors")
    assert after.fingerprint != model.fingerprint and after.card == {"steps": 9, "decoder": {"steps": 3}}
    assert after.network.state_dict()["decoder.transform.weight"].all()
    for name, value in model.network.state_dict().items():
        same = torch.equal(after.network.state_dict()[name], value)
        assert same or name.startswith("decoder."), name
    assert after.tables.to_arrays().keys() == model.tables.to_arrays().keys()

    trained.codebook.add_(1)
    save_state(tmp_path / "best.safetensors", trained.state_dict())
    with pytest.raises(ModelError, match="a decoder for other codes"):
        export_own_decoder(tmp_path / "best.safetensors", model, new, tmp_path / "other.safetensors", {})
    with pytest.raises(ModelError, match="a decoder for other codes"):
        check_codes(tmp_path / "best.safetensors", model)


def test_a_state_is_no_model_to_train_a_decoder_of(small_profiles, tmp_path: Path):
    state = {**Autoencoder(PROFILES["base"]).state_dict(), "averager.count": torch.zeros(16)}
    save_state(tmp_path / "best.safetensors", {name: value.clone() for name, value in state.items()})
    with pytest.raises(ModelError, match=r"best.safetensors: a state, not a model; .* export it first"):
        model_of_decoder(str(tmp_path / "best.safetensors"), "base")
    save_model(tmp_path / "model.safetensors", network=Autoencoder(_of_tables()), tables=random_tables(), card={})
    assert model_of_decoder(str(tmp_path / "model.safetensors"), "base").profile == _of_tables()


def test_a_state_in_pieces_is_of_the_shipped_model(tmp_path: Path):
    assert model_of_decoder(str(tmp_path), "base").name == "base"


def _of_tables() -> Profile:
    return replace(PROFILES["base"], dim=DIM, codes=CODES)


@pytest.mark.slow
def test_the_entropy_coder_goes_on_from_the_context_that_a_run_has_learned(
    cache: PanoramaCache, small_profiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"])
    context = ContextRate(model.codebook)
    starts, fit = [], export.fit_tables

    def watched(*given, start=None, **more):
        starts.append(start and {name: value.clone() for name, value in start.state_dict().items()})
        return fit(*given, start=start, **more)

    monkeypatch.setattr(export, "fit_tables", watched)
    for state in (model.state_dict(), model.state_dict() | under("context.", context)):
        save_state(tmp_path / "best.safetensors", state)
        target = tmp_path / "weights.safetensors"
        export.export_model(tmp_path / "best.safetensors", PROFILES["base"], cache, [0], target, {}, copies=1)
        load_model(target)
    assert starts[0] is None and starts[1] is not None
    for name, value in context.network.state_dict().items():
        assert torch.equal(value, starts[1][name]), name
