import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import panolink
from benchmarks.baselines import ImageCodec, bits_per_pixel, encode_at
from benchmarks.points import BASELINES, model
from panolink.codec.model import save_decoder, save_model
from panolink.errors import RateError
from panolink.images import save_image
from panolink.metrics.viewport import vpsnr

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(params=sorted(BASELINES))
def codec(request: pytest.FixtureRequest) -> ImageCodec:
    return BASELINES[request.param]


def test_round_trip(codec: ImageCodec, panorama: np.ndarray):
    worst, best = (codec.encode(panorama, quality=codec.sweep[i]) for i in (0, -1))
    assert len(worst) < len(best)
    assert vpsnr(panorama, codec.decode(worst)) < vpsnr(panorama, codec.decode(best))
    assert codec.decode(best).shape == panorama.shape


def test_a_target_is_met_as_well_as_qualities_allow(codec: ImageCodec, panorama: np.ndarray):
    data = encode_at(codec, panorama, bpp=0.8)
    assert 0.7 < bits_per_pixel(data, panorama) <= 0.8


def test_a_target_below_the_lowest_quality(codec: ImageCodec, panorama: np.ndarray):
    with pytest.raises(RateError, match=r"cannot go below 0\.\d+ bpp"):
        encode_at(codec, panorama, bpp=0.001)


def test_benchmark_resumes_from_its_cache(tmp_path: Path, panorama: np.ndarray):
    save_image(panorama, tmp_path / "pictures" / "a.png")
    (tmp_path / "pictures" / "b.png").write_bytes(b"nonsense")
    command = [
        *(sys.executable, str(ROOT / "benchmarks/rate_distortion.py"), str(tmp_path / "pictures"), "--json"),
        *("--codec", "jpeg", "--codec", "webp", "--bpp", "0.5", "--cache", str(tmp_path / "cache")),
    ]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "b.png" in first.stderr
    result = json.loads(first.stdout)
    assert result["means"]["webp"]["bpp=0.5"]["images"] == 1
    assert result["bd_rate"]["jpeg"]["vpsnr_db"]["percent"] == pytest.approx(0)
    (kept,) = (tmp_path / "cache").glob("*/jpeg-*.json")
    points = json.loads(kept.read_text())
    points["bpp=0.5"]["vpsnr_db"] = 12.5
    kept.write_text(json.dumps(points))
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(second.stdout)["means"]["jpeg"]["bpp=0.5"]["vpsnr_db"] == 12.5


def test_a_model_is_compared_at_the_size_of_the_others(tmp_path: Path, panorama: np.ndarray):
    save_image(panorama, tmp_path / "a.png")
    command = [
        *(sys.executable, str(ROOT / "benchmarks/rate_distortion.py"), str(tmp_path), "--json"),
        *("--codec", "webp", "--bpp", "0.6", "--model", "base", "--cache", str(tmp_path / "cache")),
    ]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    webp = result["means"]["webp"]["bpp=0.6"]["bpp"]
    assert 0.9 * webp < result["same_size"]["base"]["webp bpp=0.6"]["bpp"] <= webp


def test_figures_of_a_model_are_kept_for_its_encoder_and_decoder(tmp_path: Path):
    """The fingerprint leaves the encoder out, and bits can be chosen better without it changing."""
    codec = panolink.Codec.load("base", device="cpu")
    shipped = model("base", ()).version
    assert codec.fingerprint in shipped and model("base", ()).version == shipped
    with torch.no_grad():
        next(codec.network.encoder.parameters()).mul_(1.01)
    save_model(tmp_path / "base.safetensors", network=codec.network, tables=codec.model.tables, card={})
    trained_on = model(str(tmp_path / "base.safetensors"), ())
    assert codec.fingerprint in trained_on.version and trained_on.version != shipped
    with torch.no_grad():
        next(codec.network.decoder.parameters()).mul_(1.01)
    save_decoder(tmp_path / "other.safetensors", network=codec.network, fingerprint=codec.fingerprint, card={})
    decoded_otherwise = model(f"base:{tmp_path}/other.safetensors", ())
    assert codec.fingerprint in decoded_otherwise.version and decoded_otherwise.version != shipped
