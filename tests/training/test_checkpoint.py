from pathlib import Path

import pytest
import torch

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.errors import ModelError
from panolink.training.checkpoint import PIXEL_STEM, load_pieces, load_state, read_state, save_pieces, save_state
from panolink.training.codebook_ema import CodebookAverager


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
    with pytest.raises(ModelError, match="weights that do not fit today's profile 'base'"):
        load_state({"codebook": torch.zeros(1, 1)}, model, averager)


def test_a_decoder_that_did_not_see_pixels_goes_on_as_one_that_does_not_yet(small_profiles):
    model = Autoencoder(PROFILES["base"])
    averager = CodebookAverager(*model.codebook.shape)
    former = {**model.state_dict(), **{f"averager.{name}": value for name, value in averager.state_dict().items()}}
    former = {name: value.clone() for name, value in former.items() if name != PIXEL_STEM}
    torch.nn.init.ones_(model.decoder.pixel_stem.weight)  # type: ignore[union-attr]
    load_state(former, model, averager)
    assert not model.state_dict()[PIXEL_STEM].any()
