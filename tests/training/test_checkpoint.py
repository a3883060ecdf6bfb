import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.errors import ModelError
from panolink.training.checkpoint import (
    digest_of_networks,
    load_checkpoint,
    load_pieces,
    load_state,
    read_state,
    save_checkpoint,
    save_pieces,
    save_state,
)
from panolink.training.codebook_ema import CodebookAverager
from panolink.training.config import TrainingConfig
from panolink.training.data import PanoramaCache
from panolink.training.trainer import Trainer


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"a": torch.randn(300, 100), "b": torch.randn(3), "steps": torch.tensor(7), "c": torch.randn(500, 50)}


def test_a_state_comes_back_from_its_pieces(state: dict[str, torch.Tensor], tmp_path: Path):
    files = save_pieces(tmp_path, state, piece_bytes=(1 << 16) + 80_000)
    assert len(files) > 2 and all(file.stat().st_size < (1 << 16) + 80_000 for file in files)
    found = load_pieces(tmp_path)
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(found[name], value)


def test_a_missing_piece_is_told(state: dict[str, torch.Tensor], tmp_path: Path):
    files = save_pieces(tmp_path, state, piece_bytes=(1 << 16) + 80_000)
    files[-1].unlink()
    with pytest.raises(ModelError, match=f"{len(files) - 1} of the {len(files)} pieces"):
        load_pieces(tmp_path)
    with pytest.raises(ModelError, match=r"no state-0\.safetensors"):
        load_pieces(tmp_path / "absent")


def test_pieces_of_two_states_are_not_mixed(state: dict[str, torch.Tensor], tmp_path: Path):
    files = save_pieces(tmp_path, state, piece_bytes=(1 << 16) + 80_000)
    earlier = files[0].read_bytes()
    save_pieces(tmp_path, {name: value + 1 for name, value in state.items()}, piece_bytes=(1 << 16) + 80_000)
    load_pieces(tmp_path)
    files[0].write_bytes(earlier)  # as after a session that ended while it wrote
    with pytest.raises(ModelError, match=r"state-1\.safetensors: of another state than the pieces beside it"):
        load_pieces(tmp_path)
    save_pieces(tmp_path, {"a": state["a"]})
    with pytest.raises(ModelError, match=r"state-0\.safetensors: of another state"):
        load_pieces(tmp_path)


def test_pieces_of_an_earlier_version_are_read(state: dict[str, torch.Tensor], tmp_path: Path):
    """Which did not tell what was written together."""
    for number, name in enumerate(("a", "b")):
        save_state(tmp_path / f"state-{number}.safetensors", {name: state[name]}, {"pieces": "2"})
    assert load_pieces(tmp_path).keys() == {"a", "b"}
    save_state(tmp_path / "state-2.safetensors", {"c": state["c"]}, {"pieces": "2"})
    with pytest.raises(ModelError, match="of another state"):
        load_pieces(tmp_path)


def test_states_of_earlier_versions_have_today_s_names(tmp_path: Path):
    pmf, codebook = torch.rand(4, 5), torch.rand(3, 2)
    former = {"codebook": codebook, "model.averager.law": pmf, "averager.law": pmf}
    save_state(tmp_path / "former.safetensors", former)
    found = read_state(tmp_path / "former.safetensors")
    assert found.keys() == {"codebook", "model.averager.symbol_pmf", "averager.symbol_pmf"}
    assert torch.equal(found["averager.symbol_pmf"], pmf) and torch.equal(found["codebook"], codebook)
    save_pieces(tmp_path, former)
    assert load_pieces(tmp_path).keys() == found.keys()


def test_an_averager_takes_a_state_of_an_earlier_version(small_profiles, tmp_path: Path):
    model = Autoencoder(PROFILES["base"])
    averager = CodebookAverager(*model.codebook.shape)
    former = {**model.state_dict(), **{f"averager.{name}": value for name, value in averager.state_dict().items()}}
    former["averager.law"] = torch.rand_like(former.pop("averager.symbol_pmf"))
    save_state(tmp_path / "best.safetensors", former)
    load_state(read_state(tmp_path / "best.safetensors"), model, averager)
    assert torch.equal(averager.symbol_pmf, former["averager.law"])
    with pytest.raises(ModelError, match="weights that do not fit today's profile 'base'") as raised:
        load_state({"codebook": torch.zeros(1, 1)}, model, averager)
    assert len(str(raised.value)) < 300, "however many tensors are missing"


QUICK = {"batch": 2, "crop": 64, "validation_images": 1, "warm_up": 1}


def test_a_checkpoint_goes_on_under_what_it_was_made_with(cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = TrainingConfig(**QUICK)
    trainer = Trainer(config, cache, tmp_path)
    save_checkpoint(trainer, 0.0)
    for name in ("rate", "structure", "perceptual_weight"):
        trainer.config = replace(config, **{name: 0.3})  # type: ignore[arg-type]
        load_checkpoint(trainer)
    for change in ({"decoder_only": True}, {"inner_kernels_only": True}, {"profile": "paper"}):
        (name,) = change
        with pytest.raises(ModelError, match=rf"checkpoint\.safetensors: of a run with {name} = .*give another --out"):
            trainer.config = replace(config, **change)  # type: ignore[arg-type]
            load_checkpoint(trainer)


def test_a_checkpoint_without_settings_has_today_s_defaults(cache: PanoramaCache, small_profiles, tmp_path: Path):
    trainer = Trainer(TrainingConfig(**QUICK), cache, tmp_path)
    trainer.step = 7
    save_checkpoint(trainer, 0.0)
    with safe_open(trainer.checkpoint, framework="pt") as file:
        counters = json.loads(file.metadata()["counters"])
    for name in ("structure", "inner_kernels_only"):
        del counters["config"][name]
    save_state(trainer.checkpoint, read_state(trainer.checkpoint), {"counters": json.dumps(counters)})
    again = Trainer(TrainingConfig(**QUICK), cache, tmp_path)
    assert again.step == 7


def test_a_run_that_began_with_other_weights_does_not_go_on(cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = TrainingConfig(**QUICK)
    starts = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    state = Trainer(config, cache, tmp_path / "other").averaged
    for number, start in enumerate(starts):
        save_state(start, state | {"codebook": state["codebook"] + number})
    run = tmp_path / "run"
    trainer = Trainer(config, cache, run, start=starts[0])
    save_checkpoint(trainer, 0.0)
    with pytest.raises(ModelError, match="began with other weights; give another --out"):
        Trainer(config, cache, run, start=starts[1])
    assert Trainer(config, cache, run).start == Trainer(config, cache, run, start=starts[0]).start == trainer.start


def test_a_checkpoint_that_was_cut_is_named(cache: PanoramaCache, small_profiles, tmp_path: Path):
    trainer = Trainer(TrainingConfig(**QUICK), cache, tmp_path)
    trainer.checkpoint.write_bytes(b"\x10\0\0")
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors: not a readable checkpoint"):
        load_checkpoint(trainer)


def test_what_a_run_began_with_is_the_same_whatever_its_crops(cache, small_profiles, tmp_path: Path):
    state = Trainer(TrainingConfig(**QUICK), cache, tmp_path / "run").averaged
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors")]
    save_state(files[0], state)
    save_state(files[1], {name: value + 1 if name.startswith("averager.") else value for name, value in state.items()})
    save_state(files[2], state | {"codebook": state["codebook"] + 1})
    same, also, other = map(digest_of_networks, files)
    assert same == also != other
