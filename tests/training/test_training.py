import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.codec import Codec
from panolink.codec.model import load_model
from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.codec.networks.blocks import ResidualBlock
from panolink.errors import ImageError, ModelError
from panolink.sphere.padding import set_wrap
from panolink.training import export
from panolink.training.checkpoint import save_checkpoint, save_pieces
from panolink.training.codebook_ema import CodebookAverager, k_means, scale_classes
from panolink.training.compilation import compile_networks
from panolink.training.config import TrainingConfig
from panolink.training.data import CropStream, PanoramaCache, held_out, random_crop
from panolink.training.discriminator import PatchDiscriminator
from panolink.training.export import export_model, views
from panolink.training.fit_tables import fit_tables
from panolink.training.laplace_prior import DEAD_ZONE
from panolink.training.mean_only_batchnorm import centre_units
from panolink.training.muon import ConvolutionMuon, orthogonalise
from panolink.training.soft_quantization import lost_tokens, smooth_bits
from panolink.training.trainer import Trainer
from panolink.training.validation import idle_units
from panolink.training.warm_start import beginning

COPIES = 8
"""of each panorama, for the models that ship"""

SAMPLES = Path(__file__).parent.parent.parent / "samples"
QUICK = {"batch": 2, "crop": 64, "validation_images": 1, "warm_up": 1}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> PanoramaCache:
    return PanoramaCache(SAMPLES, tmp_path_factory.mktemp("cache"), max_width=256)


@pytest.fixture
def small_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped profiles' shapes at a size that trains in a second."""
    small = {"dim": 8, "codes": 16}
    base = {"encoder_channels": (8, 8, 8), "encoder_blocks": (0, 0, 1), "decoder_channels": (8, 8, 8)}
    monkeypatch.setitem(PROFILES, "base", replace(PROFILES["base"], **small, **base, decoder_blocks=(1, 0, 0)))
    monkeypatch.setitem(PROFILES, "paper", replace(PROFILES["paper"], **small, encoder_channels=(4, 4, 4, 4)))


@pytest.mark.parametrize("name", ["base", "paper"])
def test_train_resume_export_and_use(name: str, cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = replace(TrainingConfig.load(name), steps=3, minutes=5.0, **QUICK)
    config = replace(config, adversarial_from=0.5 if name == "paper" else 1.0)
    trainer = Trainer(config, cache, tmp_path / "run")
    result = trainer.run()
    assert trainer.step == 3 and np.isfinite(result["vpsnr_at_0.1"]) and 0 <= result["idle"] < 1
    blocks = [module for module in trainer.model.modules() if isinstance(module, ResidualBlock)]
    assert all(block.first.bias.abs().max() > 0 and not block.first.bias.requires_grad for block in blocks)  # centred
    again = Trainer(config, cache, tmp_path / "run")
    assert again.step == 3
    for name_, value in trainer.state().items():
        torch.testing.assert_close(again.state()[name_], value)
    again.run()
    assert again.step == 6
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "validation" in record] == [
        3,
        6,
        6,
    ]  # and the mean of two snapshots

    target = tmp_path / "weights.safetensors"
    training, _ = cache.split()
    export_model(
        tmp_path / "run" / "best.safetensors",
        PROFILES[name],
        cache,
        training,
        target,
        {"steps": 6},
        copies=config.copies,
    )
    codec = Codec.load(target, device="cpu")
    image = cache.panorama(0)
    assert codec.model.card == {"steps": 6}
    assert codec.decode(codec.encode(image, tau=0.5)).shape == image.shape


@pytest.mark.parametrize("on_device", [False, True])
def test_a_run_that_was_stopped_ends_where_another_does(
    on_device: bool, cache: PanoramaCache, small_profiles, tmp_path: Path
):
    config = replace(TrainingConfig.load("base"), minutes=0.0, decay_share=0.0, crops_on_device=on_device, **QUICK)
    whole = Trainer(replace(config, steps=4), cache, tmp_path / "whole")
    whole.train()
    stopped = Trainer(replace(config, steps=2), cache, tmp_path / "stopped")
    stopped.train()
    save_checkpoint(stopped, 0.0)
    again = Trainer(replace(config, steps=2), cache, tmp_path / "stopped")
    again.train()
    assert again.step == whole.step == 4
    for state in ("averaged", "state"):
        one, other = (getattr(trainer, state) for trainer in (whole, again))
        one, other = (value() if callable(value) else value for value in (one, other))
        for name, value in one.items():
            assert torch.equal(value, other[name]), name


def test_a_state_in_pieces_is_a_start(cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = replace(TrainingConfig.load("base"), steps=1, **QUICK)
    trainer = Trainer(config, cache, tmp_path / "first")
    trainer.train()
    (tmp_path / "pieces").mkdir()
    save_pieces(tmp_path / "pieces", trainer.averaged)
    start = beginning(str(tmp_path / "pieces"), config, tmp_path)
    following = Trainer(config, cache, tmp_path / "second", start=start)
    for name, value in trainer.averaged.items():
        assert torch.equal(following.state()[name], value)


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


def test_laws_are_counted_on_the_first_panoramas_alone(cache: PanoramaCache, small_profiles):
    torch.manual_seed(0)
    network = Autoencoder(PROFILES["base"])
    first, second = cache.panorama(0), cache.panorama(1)
    alone, both = fit_tables(network, [first]), fit_tables(network, [first, second], counted=1)
    np.testing.assert_array_equal(both.code_frequencies, alone.code_frequencies)
    np.testing.assert_array_equal(both.levels, alone.levels)
    assert (both.index_context.embedding != alone.index_context.embedding).any(), "networks see both"
    assert (both.feature_context.embedding != alone.feature_context.embedding).any()


def test_training_lowers_the_distortion(cache: PanoramaCache, small_profiles, tmp_path: Path):
    config = replace(TrainingConfig.load("base"), **QUICK)
    trainer = Trainer(config, cache, tmp_path)
    batch = next(trainer.batches())
    errors = []
    for _ in range(60):
        torch.manual_seed(3)  # the same steps and shares each time
        errors.append(float(trainer.train_step(*batch, adversarial=False)["mse"]))
    assert np.mean(errors[-5:]) < 0.97 * errors[0]


def test_split_keeps_sources_together(tmp_path: Path):
    from PIL import Image

    folder = tmp_path / "panoramas"
    folder.mkdir()
    rows = ["id,group"]
    for number in range(40):
        Image.new("RGB", (32, 16), (number, 0, 0)).save(folder / f"p{number:02}.png")
        rows.append(f"p{number:02},site{number // 4}")
    (tmp_path / "panoramas.csv").write_text("\n".join(rows))
    cache = PanoramaCache(folder, tmp_path / "cache")
    training, validation = cache.split()
    assert sorted(training + validation) == list(range(40))
    assert validation and not {i // 4 for i in training} & {i // 4 for i in validation}
    assert (cache.panorama(7)[..., 0] == 7).all()


def test_several_folders_are_one_set(tmp_path: Path):
    from PIL import Image

    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        for name in ("pano0078", "own") if number else ("pano0000", "pano0113"):
            Image.new("RGB", (32, 16), (number, 0, 0)).save(folder / f"{name}.png")
    (tmp_path / "one.csv").write_text("id,group\npano0000,a\npano0113,b\n")
    cache = PanoramaCache(folders, tmp_path / "cache")
    assert len(cache) == 4 and cache.name == "one and two"
    assert [int(cache.panorama(i)[0, 0, 0]) for i in range(4)] == [0, 0, 1, 1]
    training, validation = cache.split()
    assert [cache.ids[i] for i in validation] == ["pano0113", "pano0078"], "those that the list names, in its order"
    assert [cache.ids[i] for i in training] == ["pano0000", "own"]
    cache.keep([0, 2])
    assert cache.ids == ["pano0000", "own"] and cache.panorama(1)[0, 0, 0] == 1
    (tmp_path / "two" / "own.png").rename(tmp_path / "two" / "pano0000.png")
    with pytest.raises(ImageError, match="two panoramas are called 'pano0000'"):
        PanoramaCache(folders, tmp_path / "cache")


def test_nothing_of_a_listed_panoramas_source_is_trained_on():
    assert held_out(["pano0078", "x", "y"], {"pano0078": "a", "x": "a", "y": "b"}) == [0]


def test_large_panoramas_are_drawn_more_often_and_whole(tmp_path: Path):
    from PIL import Image

    folder = tmp_path / "panoramas"
    folder.mkdir()
    Image.new("RGB", (64, 32), (10, 0, 0)).save(folder / "small.png")
    Image.new("RGB", (192, 96), (20, 0, 0)).save(folder / "large.png")
    stream = CropStream(PanoramaCache(folder, tmp_path / "cache"), [0, 1], size=16, batch=400, native_share=1.0)
    pixels, latitude, _ = next(iter(stream))
    large = pixels[:, 0, 0, 0] == 20
    assert float(large.float().mean()) == pytest.approx(0.9, abs=0.05)
    spans = (latitude[:, 0] - latitude[:, -1]) / (15 * np.pi)
    assert torch.allclose(spans[large], torch.tensor(1 / 96)) and torch.allclose(spans[~large], torch.tensor(1 / 32))


def test_a_folder_without_panoramas(tmp_path: Path):
    with pytest.raises(ImageError, match="no panoramas there"):
        PanoramaCache(tmp_path, tmp_path / "cache")


def test_crops_know_their_latitude(cache: PanoramaCache):
    random = np.random.default_rng(0)
    panorama = np.zeros((128, 256, 3), dtype=np.uint8)
    panorama[...] = np.arange(128, dtype=np.uint8)[:, None, None]  # each row is its own number
    weights = []
    for _ in range(200):
        crop = random_crop(panorama, 32, random, scales=(1.0, 1.0))
        expected = np.pi * (0.5 - (crop.pixels[:, 0, 0].astype(float) + 0.5) / 128)
        np.testing.assert_allclose(crop.latitude, expected, atol=0.01)
        weights.append(crop.weight)
    assert 0.7 < np.mean(weights) < 1.4


def test_smooth_bits_are_the_mean_of_code_lengths():
    """Averaged over ± 1/2 of uniform noise, the code lengths beyond the dead zone are the training's."""
    averager = CodebookAverager(2, 2)
    lengths = averager.code_lengths()
    values = torch.linspace(-4, 4, 33)
    noise = (torch.arange(2000) + 0.5) / 2000 - 0.5
    for scale in (0.25, 0.5, 2.0):
        classes = scale_classes(torch.tensor(scale))
        magnitude = torch.floor(values[:, None].abs() + noise + 1 - DEAD_ZONE).clamp_min(0).long()
        mean = lengths[classes, magnitude].mean(dim=1)
        torch.testing.assert_close(smooth_bits(values, classes.expand(33), lengths), mean, rtol=0.02, atol=0.02)


def test_code_lengths_follow_what_is_sent():
    averager = CodebookAverager(2, 2, decay=0.5)
    classes = torch.full((5000, 1), 20)
    for _ in range(30):
        ones = (torch.arange(5000)[:, None] % 4 == 0).float()
        averager.count_symbols(torch.cat([classes, classes]), torch.cat([ones, 0 * ones]), torch.arange(10000) < 5000)
    lengths = averager.code_lengths()
    assert lengths[20, 0] == pytest.approx(np.log2(4 / 3), abs=0.02)
    assert lengths[20, 1] == pytest.approx(np.log2(4) + 1, abs=0.02)
    assert (lengths[0] == 0).all()


def test_codebook_moves_to_the_mean_and_dead_codes_revive():
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 10.0], [10.0, 0.0]])
    tokens = centres.repeat(200, 1) + 0.1 * torch.randn(400, 2)
    assert torch.cdist(k_means(tokens, 2), centres).min(dim=1).values.max() < 0.1
    codebook = torch.tensor([[1.0, 9.0], [9.0, 1.0], [99.0, 99.0]])
    averager = CodebookAverager(3, 2, decay=0.5)
    for _ in range(20):
        indices = torch.cdist(tokens, codebook).argmin(dim=1)
        averager.update(tokens, indices, codebook, torch.ones(400))
    torch.testing.assert_close(codebook[:2], centres, atol=0.1, rtol=0)
    torch.testing.assert_close(averager.scales(torch.tensor([0]))[0], torch.full((2,), 0.08), atol=0.02, rtol=0)
    assert averager.replace_dead(tokens, codebook) == 1
    assert codebook[2].abs().max() < 20


def test_orthogonalise_sets_singular_values_to_about_one():
    torch.manual_seed(0)
    for shape in ((8, 20), (20, 8)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(*shape)))
        assert values.min() > 0.5 and values.max() < 1.4


def test_muon_keeps_kernels_from_growing():
    """Its steps are as long however small the gradient is: without decay, kernels that matter little grow for ever."""
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.zeros(8, 8, 3, 3))
    optimizer, sizes = ConvolutionMuon([kernel], lr=0.05, weight_decay=0.3), []
    for _ in range(600):
        kernel.grad = 1e-3 * torch.randn_like(kernel)
        optimizer.step()
        sizes.append(float(kernel.detach().norm()))
    assert sizes[-1] < 1.2 * max(sizes[:300])


def test_units_that_nothing_lifts_above_zero_are_told(cache: PanoramaCache, small_profiles):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"])
    assert idle_units(model, cache.panorama(0), device=torch.device("cpu")) < 0.5
    blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    for block in blocks:
        torch.nn.init.constant_(block.first.bias, -1e6)  # type: ignore[arg-type]
    assert idle_units(model, cache.panorama(0), device=torch.device("cpu")) == 1


def test_hidden_units_are_centred_and_stay_where_they_are_outside_training(small_profiles):
    torch.manual_seed(0)
    model = Autoencoder(PROFILES["base"]).train()
    block = next(module for module in model.modules() if isinstance(module, ResidualBlock))
    torch.nn.init.constant_(block.first.bias, -5.0)  # type: ignore[arg-type]
    torch.nn.init.normal_(block.second.weight, std=0.1)
    centre_units(model)
    x = torch.randn(4, block.first.in_channels, 8, 8) + 1
    before = block.eval()(x)
    after = block.train()(x)
    assert (before - after).abs().max() > 0.1  # centred at once
    for _ in range(400):
        block(x)
    torch.testing.assert_close(block.eval()(x), after, atol=1e-2, rtol=1e-2)  # and the bias has come to hold it
    block.requires_grad_(False)
    held = block.first.bias.clone()  # type: ignore[union-attr]
    block.train()(x)
    assert torch.equal(block.first.bias, held)  # type: ignore[arg-type]


def test_a_model_of_other_sizes_is_no_start(small_profiles, tmp_path: Path):
    with pytest.raises(ModelError, match=r"base: its dim is \d+; profile 'base' has 8 by now"):
        beginning("base", TrainingConfig.load("base"), tmp_path)


def test_compiled_networks_learn_what_plain_ones_learn(small_profiles):
    """`aot_eager` traces networks and their gradients as compilers do, hooks included, and needs none to run them."""
    torch.manual_seed(0)
    plain = Autoencoder(PROFILES["base"])
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    compiled = copy.deepcopy(plain)
    compile_networks(compiled, None, backend="aot_eager")
    pixels, guidance = 255 * torch.rand(2, 3, 32, 32), torch.zeros(2, 3, 2, 2)
    for model in (plain, compiled):
        set_wrap(model, False)
        centre_units(model)
        for _ in range(2):
            model.zero_grad()
            model.decoder(model.encoder(pixels), guidance).sub(pixels).square().mean().backward()
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one, other)  # biases moved alike
        if one.requires_grad:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)


def test_the_shipped_networks_use_what_they_have(panorama: np.ndarray):
    assert idle_units(load_model("base").network.eval(), panorama, device=torch.device("cpu")) < 0.1


def test_discriminator_judges_patches():
    assert PatchDiscriminator(4)(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 6, 6)


def test_configuration_errors(tmp_path: Path):
    with pytest.raises(ModelError, match=r"give base, perceptual, paper or a .toml file"):
        TrainingConfig.load("best")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("learnin_rate = 1\n")
    with pytest.raises(ModelError, match="unknown setting 'learnin_rate'; known are adversarial_from"):
        TrainingConfig.load(wrong)


def test_single_tokens_and_whole_rows_are_lost():
    torch.manual_seed(0)
    lost = lost_tokens(torch.Size([200, 16, 16]), 0.2, device=torch.device("cpu"))
    assert lost.float().mean() == pytest.approx(0.2, abs=0.02)
    rows = lost.any(dim=2) == lost.all(dim=2)
    whole = rows.all(dim=1)
    assert 60 < whole.sum() < 140
    assert not lost_tokens(torch.Size([4, 8, 8]), 0.0, device=torch.device("cpu")).any()
