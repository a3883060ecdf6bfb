"""Weights files: models, their further decoders, and files that are neither."""

import copy
import json
import resource
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import panolink
from panolink.codec.codec import Codec
from panolink.codec.model import (
    decoders_of,
    interpolate,
    load_decoder,
    load_model,
    save_decoder,
    save_model,
    shipped_models,
)
from panolink.errors import ModelError

WEIGHTS = Path(panolink.__file__).parent / "weights"
NORM = "encoder.body.2.body.1.running_var"


@pytest.fixture(scope="module")
def base() -> Codec:
    return Codec.load("base", device="cpu")


def test_a_packet_of_another_model(tiny: Codec, panorama: np.ndarray, tmp_path):
    tables = tiny.model.tables
    save_model(tmp_path / "other.safetensors", network=tiny.network, tables=tables, card={"name": "same weights"})
    assert load_model(tmp_path / "other.safetensors").fingerprint == tiny.fingerprint
    with torch.no_grad():
        tiny.network.codebook[0, 0] += 1
    save_model(tmp_path / "other.safetensors", network=tiny.network, tables=tables, card={})
    other = Codec.load(tmp_path / "other.safetensors", device="cpu")
    assert other.fingerprint != tiny.fingerprint
    with pytest.raises(ModelError, match=f"{tiny.fingerprint}.*'other' with {other.fingerprint}"):
        other.decode(tiny.encode(panorama, tau=0))


def test_models_that_are_none(tmp_path):
    with pytest.raises(ModelError, match="unknown model 'vast'; shipped are base"):
        Codec.load("vast")
    with pytest.raises(ModelError, match="no such weights file"):
        Codec.load(tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x80\x04pickle")
    with pytest.raises(ModelError, match="not a readable weights file"):
        Codec.load(broken)


def changed_weights(target: Path, **changes: object) -> Path:
    """The shipped weights with other metadata, or with tensors replaced (None: left out)."""
    with safe_open(WEIGHTS / "base.safetensors", framework="pt") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    for name, value in changes.items():
        if name in metadata:
            metadata[name] = str(value)
        elif value is None:
            del tensors[name]
        else:
            tensors[name] = value  # type: ignore[assignment]
    save_file(tensors, target, metadata=metadata)
    return target


def test_weights_with_one_number_changed_are_another_model(base: Codec, panorama: np.ndarray, tmp_path: Path):
    codebook = base.network.codebook.detach().half().clone()
    codebook[0, 0] += 1
    codec = Codec.load(changed_weights(tmp_path / "other.safetensors", codebook=codebook), device="cpu")
    with pytest.raises(ModelError, match=f"made by model {base.fingerprint}.*'other' with {codec.fingerprint}"):
        codec.decode(base.encode(panorama))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "panolink-model-1"}, "not a Panolink model of format"),
        ({"profile": "{}"}, "weights do not fit their profile"),
        ({"profile": "nonsense"}, "weights do not fit their profile"),
        ({"codebook": None}, r"weights do not fit their profile \(no tensor codebook of 1024×192\)"),
        ({"codebook": torch.full((1024, 192), torch.nan).half()}, "tensor codebook holds what is no finite number"),
        ({"more": torch.zeros(2)}, r"weights do not fit their profile \(no place for tensor more of 2\)"),
        ({"tables.contexts.bands": None}, "weights do not fit their profile"),
        (
            {"tables.contexts.network.second": torch.zeros(128, 128, dtype=torch.int16)},
            "contexts.network.second is of int16; it must be of int8",
        ),
        ({"tables.levels": torch.zeros(1024, 192)}, "levels is of float32; it must be of uint8"),
        (
            {
                "tables.surroundings.units": torch.zeros(193, dtype=torch.int8),
                "tables.surroundings.network.first": torch.zeros(408 + 4 * (193 - 48), 224, dtype=torch.int8),
            },
            "193 units for features of 192 dimensions",
        ),
        ({NORM: torch.full((32,), -1.0).half()}, f"tensor {NORM} holds a negative variance"),
    ],
)
def test_weights_that_are_damaged(tmp_path: Path, changes: dict[str, object], message: str):
    path = changed_weights(tmp_path / "damaged.safetensors", **changes)
    with pytest.raises(ModelError, match=message) as caught:
        Codec.load(path, device="cpu")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_tables_are_for_the_codebook(tmp_path: Path):
    """Or kernels would read behind them."""
    fewer = json.dumps(asdict(replace(load_model("base").network.profile, codes=512)))
    path = changed_weights(tmp_path / "fewer.safetensors", profile=fewer, codebook=torch.zeros(512, 192).half())
    with pytest.raises(ModelError, match="tables for codes of 1024×192; the codebook's are 512×192"):
        Codec.load(path, device="cpu")


def test_an_encoder_whose_features_are_no_numbers_is_noticed(tiny: Codec, panorama: np.ndarray):
    model = copy.deepcopy(tiny.model)
    for parameter in model.network.encoder.parameters():
        parameter.data *= 1e30  # finite, as those of a file are
    with pytest.raises(ModelError, match="features are no finite numbers; its weights are damaged"):
        Codec(model, device="cpu").encode(panorama)


def test_weights_that_end_early(tmp_path: Path):
    path = tmp_path / "short.safetensors"
    path.write_bytes((WEIGHTS / "base.safetensors").read_bytes()[:-1000])
    with pytest.raises(ModelError, match="not a readable weights file"):
        Codec.load(path, device="cpu")


@pytest.fixture
def darker(tiny_path: Path, tmp_path: Path) -> Path:
    """A file of a decoder of the tiny model, whose pictures are a little darker."""
    model = load_model(tiny_path)
    with torch.no_grad():
        model.network.decoder.transform.bias -= 0.2  # type: ignore[union-attr, operator]
    save_decoder(tmp_path / "darker.safetensors", network=model.network, fingerprint=model.fingerprint, card={})
    return tmp_path / "darker.safetensors"


def test_another_decoder_reads_the_same_packets(tiny: Codec, tiny_path: Path, darker: Path, panorama: np.ndarray):
    other = Codec.load(tiny_path, decoder=darker, device="cpu")
    packet = tiny.encode(panorama, tau=0.5)
    assert other.fingerprint == tiny.fingerprint
    assert other.encode(panorama, tau=0.5).to_bytes() == packet.to_bytes()
    first, second = tiny.decode(packet), other.decode(packet)
    assert 4 < float(np.mean(first.astype(int) - second)) < 10


def test_a_decoder_belongs_to_its_model(darker: Path):
    with pytest.raises(ModelError, match="not for 'base'"):
        load_decoder(load_model("base"), darker)


def test_what_is_no_decoder(tiny_path: Path, tmp_path: Path):
    model = load_model(tiny_path)
    with pytest.raises(ModelError, match="not a decoder of format"):
        load_decoder(model, tiny_path)
    with pytest.raises(ModelError, match="has no perceptual decoder"):
        load_decoder(model, "perceptual")
    for name in ("perceptul", tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(ModelError, match=f"no decoder '{name}'; allowed: fidelity, perceptual, or a file of one"):
            load_decoder(model, name)
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ModelError, match="not a readable file"):
        load_decoder(model, tmp_path / "text.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transform.bias": None}, "no tensor transform.bias of 3"),
        ({"transform.bias": torch.zeros(4)}, "no tensor transform.bias of 3, but one of 4"),
        ({"more": torch.zeros(2, 3)}, "no place for tensor more of 2×3"),
        ({"transform.bias": torch.full((3,), torch.inf)}, "tensor transform.bias holds what is no finite number"),
    ],
    ids=["missing", "other-shape", "unknown", "infinite"],
)
@pytest.mark.parametrize("realism", [None, 0.5])
def test_a_decoder_of_other_layers_is_told_by_them_and_changes_nothing(
    tiny: Codec, tiny_path: Path, darker: Path, changes: dict[str, torch.Tensor | None], message: str, realism: float
):
    with safe_open(darker, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()} | changes  # noqa: SIM118 (safe_open is no dict)
        metadata = file.metadata()
    save_file({name: value for name, value in tensors.items() if value is not None}, darker, metadata=metadata)
    model = load_model(tiny_path)
    with pytest.raises(ModelError, match=rf"weights do not fit their model \({message}\)"):
        load_decoder(model, darker, realism)
    assert same(model.network.decoder.state_dict(), decoder_weights(tiny))


def test_a_damaged_perceptual_decoder_is_told_by_its_file(tiny: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tiny-p.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    monkeypatch.setattr("panolink.codec.model._perceptual_path", lambda model: tmp_path / "tiny-p.safetensors")
    with pytest.raises(ModelError, match=r"tiny-p\.safetensors: not a readable file of a decoder"):
        decoders_of(tiny.model)


def test_decoders_are_no_models():
    assert not [name for name in shipped_models() if name.endswith("-p")]


def test_the_shipped_perceptual_decoder(panorama: np.ndarray):
    fidelity, perceptual = (Codec.load("base", decoder=kind, device="cpu") for kind in ("fidelity", "perceptual"))
    assert decoders_of(fidelity.model) == ["fidelity", "perceptual"]
    assert decoders_of(load_model("paper")) == ["fidelity"]
    packet = fidelity.encode(panorama, bpp=0.2)
    first, second = fidelity.decode(packet), perceptual.decode(packet)
    assert 0.5 < np.abs(first.astype(int) - second).mean() < 8


def decoder_weights(codec: Codec) -> dict[str, torch.Tensor]:
    return codec.network.decoder.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_realism_of_a_file_goes_from_the_models_own_decoder_to_it(
    tiny: Codec, tiny_path: Path, darker: Path, panorama: np.ndarray
):
    packet = tiny.encode(panorama, tau=0.5)
    pictures, weights = {}, {}
    for realism in (0, 0.25, 0.5, 1, None):
        codec = Codec.load(tiny_path, decoder=darker, realism=realism, device="cpu")
        assert codec.fingerprint == tiny.fingerprint
        pictures[realism], weights[realism] = codec.decode(packet).astype(int), decoder_weights(codec)
    assert same(weights[0], decoder_weights(tiny)) and np.array_equal(pictures[0], tiny.decode(packet))
    assert same(weights[1], weights[None]) and np.array_equal(pictures[1], pictures[None])
    half = weights[0]["transform.bias"] - 0.1  # the file's is 0.2 lower
    torch.testing.assert_close(weights[0.5]["transform.bias"], half, rtol=0, atol=1e-3)
    darkness = [float(np.mean(pictures[0] - pictures[realism])) for realism in (0.25, 0.5, 1)]
    assert 0 < darkness[0] < darkness[1] < darkness[2]
    assert darkness[1] == pytest.approx(darkness[2] / 2, abs=0.5)


def test_both_ends_of_the_scale_are_the_shipped_decoders():
    found = {}
    for realism, kind in ((0, "fidelity"), (1, "perceptual")):
        named, numbered = load_model("base"), load_model("base")
        load_decoder(named, kind)
        load_decoder(numbered, realism=realism)
        found[kind] = named.network.decoder.state_dict()
        assert same(numbered.network.decoder.state_dict(), found[kind])
    between = load_model("base")
    load_decoder(between, realism=0.5)
    for name, value in between.network.decoder.state_dict().items():
        if not value.is_floating_point():  # how many batches a batch norm has seen
            assert torch.equal(value, found["fidelity"][name])
            continue
        middle = (found["fidelity"][name] + found["perceptual"][name]) / 2
        torch.testing.assert_close(value, middle, rtol=1e-5, atol=1e-6)
    assert not same(between.network.decoder.state_dict(), found["perceptual"])


def test_interpolation_is_linear_and_leaves_counts_alone():
    own = {"weight": torch.tensor([1.0, -2.0]), "count": torch.tensor(3)}
    tensors = {"weight": torch.tensor([2.0, 2.0]), "count": torch.tensor(9.0)}
    interpolate(tensors, own, 0.25)
    assert tensors["weight"].tolist() == [1.25, -1.0]
    assert tensors["count"] == 9
    interpolate(tensors, {"weight": torch.tensor([torch.inf, 0])}, 1.0)
    assert tensors["weight"].tolist() == [1.25, -1.0]
    interpolate(tensors, own, 0.0)
    assert tensors["weight"].tolist() == [1, -2]


def test_realism_needs_a_second_decoder(tiny_path: Path, darker: Path):
    with pytest.raises(ModelError, match="has no perceptual decoder"):
        Codec.load(tiny_path, realism=0.5, device="cpu")
    assert Codec.load(tiny_path, realism=0, device="cpu").makes_pictures
    with pytest.raises(ModelError, match=r"realism 0\.5, but no decoder"):
        Codec.load(tiny_path, decoder=None, realism=0.5, device="cpu")
    with pytest.raises(ModelError, match=r"realism nan; allowed is a number from 0 \(fidelity\) to 1"):
        Codec.load(tiny_path, decoder=darker, realism=float("nan"), device="cpu")
    with pytest.raises(ModelError, match=r"decoder fidelity is realism 0, not 0\.5"):
        Codec.load(tiny_path, decoder="fidelity", realism=0.5, device="cpu")


@pytest.mark.parametrize(
    "profile",
    [
        "null",
        "[]",
        "[" * 100_000,
        '{"name": ' * 20_000,
        '{"name": "x", "family": "base", "dim": 1e400}',
        '{"name": "x", "family": "base", "dim": ' + "9" * 5000 + "}",
        '{"name": "x", "family": "base", "dim": null}',
        '{"name": "x", "family": "base", "dim": true}',
        '{"name": "x", "family": "base", "dim": -1}',
        '{"name": "x", "family": null, "dim": 8}',
        '{"name": "x", "family": "base", "dim": 8, "codes": 99999999999}',
        '{"name": "x", "family": "base", "dim": 1024, "codes": 65536, "encoder_channels": [4096, 4096, 4096]}',
        '{"name": "x", "family": "paper", "dim": 1024, "encoder_channels": [4096, 4096, 4096, 4096]}',
        '{"name": "x", "family": "base", "dim": 8, "encoder_channels": [[[]]]}',
        '{"name": "x", "family": "base", "dim": NaN}',
    ],
    ids=range(15),
)
def test_profiles_that_are_none_cost_nothing(tmp_path, profile: str):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="weights do not fit their profile"):
        load_model(changed_weights(tmp_path / "other.safetensors", profile=profile))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


@pytest.mark.parametrize(
    "card", ["null", "[]", "{", "[" * 100_000, '"' + "x" * (1 << 20) + '"', '{"n": ' + "9" * 5000 + "}"]
)
def test_model_cards_that_are_none(tmp_path, card: str):
    with pytest.raises(ModelError, match="unreadable model card"):
        load_model(changed_weights(tmp_path / "other.safetensors", card=card))
