"""Both networks as a codec runs them: batches, bands of rows, half precision."""

import numpy as np
import pytest
import torch
from torch import Tensor

from panolink.codec.networks.runner import BAND_PIXELS, NetworkRunner
from panolink.codec.shapes import Image
from panolink.sphere.padding import pad_to_tokens
from tests.codec.networks.random_networks import SMALL, scrambled

CPU = torch.device("cpu")
DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]


def runner(device: torch.device = CPU, **settings: int) -> NetworkRunner:
    return NetworkRunner(scrambled(SMALL["base"]), device, **settings)


def images(count: int, height: int = 40, width: int = 72) -> list[Image]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def inputs(count: int, rows: int = 3, cols: int = 5, *, device: torch.device = CPU) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    pairs = [(torch.randn(1, 6, rows, cols), torch.rand(1, 3, rows, cols)) for _ in range(count)]
    return [(features.to(device), guidance.to(device)) for features, guidance in pairs]


def test_features_of_a_batch_are_those_of_each_padded_to_whole_tokens() -> None:
    own, pictures = runner(), images(2)
    own.bfloat16 = False
    features = own.encode(pictures)
    for one, image in zip(features, pictures, strict=True):
        pixels = pad_to_tokens(torch.from_numpy(image).permute(2, 0, 1)[None].float(), 16)
        assert one.shape == (1, 6, 3, 5) and one.dtype == torch.float32
        with torch.inference_mode():
            torch.testing.assert_close(one, own.network.encoder(pixels), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("reduced", [False, True])
def test_bands_of_rows_are_asked_for_one_picture_at_a_time(reduced: bool, device: torch.device) -> None:
    whole, banded = runner(device), runner(device, band_pixels=16 * 72)
    whole.bfloat16 = banded.bfloat16 = whole.bfloat16 and device == CPU
    given: list[int] = []

    def one_by_one():
        for number, one in enumerate(inputs(2, device=device)):
            given.append(number)
            yield one

    size = (60, 90) if reduced else (40, 72)
    at_once = whole.decode(inputs(2, device=device), size, reduced=reduced)
    assert all(picture.shape == (*size, 3) and picture.dtype == np.uint8 for picture in at_once)
    seen: list[list[int]] = []
    decode = banded._decode_by_rows
    banded._decode_by_rows = lambda *args, **kwargs: (seen.append(list(given)), decode(*args, **kwargs))[1]  # type: ignore[method-assign]
    by_rows = banded.decode(one_by_one(), size, reduced=reduced)
    assert seen == [[0], [0, 1]]
    for one, other in zip(at_once, by_rows, strict=True):
        assert np.abs(one.astype(int) - other).max() <= (0 if whole.bfloat16 else 1)


@pytest.mark.parametrize("half", [True, False])
def test_only_a_cpu_has_bands_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch, half: bool) -> None:
    """In float32 values take twice the room: a band has half as many."""
    monkeypatch.setattr("panolink.codec.networks.runner.has_bfloat16", lambda device: half)
    assert runner().band_pixels == (BAND_PIXELS if half else BAND_PIXELS // 2)
    assert runner(band_pixels=1 << 20).band_pixels == 1 << 20


def test_half_precision_can_be_turned_off() -> None:
    own = runner()
    own.bfloat16 = False
    exact = own.decode(inputs(1), (48, 80), reduced=False)[0]
    own.bfloat16 = True
    rounded = own.decode(inputs(1), (48, 80), reduced=False)[0]
    assert not np.array_equal(exact, rounded)


def test_pixels_follow_features_for_autograd() -> None:
    own = runner()
    ((features, guidance),) = inputs(1)
    features.requires_grad_(True)
    pixels = own.pixels(features, guidance)
    assert pixels.shape == (1, 3, 48, 80) and pixels.dtype == torch.float32
    (gradient,) = torch.autograd.grad(pixels.square().sum(), features)
    assert gradient.shape == features.shape and gradient.isfinite().all() and gradient.any()
    (decoded,) = own.decode([(features.detach(), guidance)], (48, 80), reduced=False)
    np.testing.assert_allclose(pixels.detach()[0].permute(1, 2, 0).clamp(0, 255), decoded, atol=0.51)


def test_a_runner_without_a_decoder_records_its_encoder() -> None:
    network = scrambled(SMALL["base"])
    del network.decoder
    own = NetworkRunner(network, CPU)
    assert not own.has_decoder and runner().has_decoder
    own.record((40, 72))
    expected = runner().encode(images(1))[0]
    assert torch.equal(own.encode(images(1))[0], expected)
